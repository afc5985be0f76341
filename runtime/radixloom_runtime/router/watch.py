"""Looks at every leader again and again: where it is, whether it is ready, how busy it is.

What a leader says without a key is enough: `/readyz`, and the gauges of `/metrics`. Now and then it
is asked for its models, too, with the router's key if it has one: adapters may be loaded in some.
"""

import asyncio
import json
import re
import time
from http import HTTPStatus

import msgspec

from radixloom_runtime.router.discovery import Discover
from radixloom_runtime.router.fleet import Fleet, Leader
from radixloom_runtime.router.http_connection import (
    BrokenError,
    CutOffError,
    UnreachableError,
)
from radixloom_runtime.router.leader_key import LeaderKey
from radixloom_runtime.router.upstream import Upstream
from radixloom_runtime.router_settings import RouterSettings

LOOK_SECONDS = 2.0
"""A leader that does not tell its state by then is not ready."""

_GAUGES = re.compile(rb"^radixloom:num_(?:queue|running)_reqs (\S+)$", re.MULTILINE)


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class NoNumberError(Exception):
    """A leader's /metrics say what cannot be."""


class Watch:
    """The two loops that keep a fleet up to date."""

    def __init__(
        self, fleet: Fleet, discover: Discover, upstream: Upstream, settings: RouterSettings
    ) -> None:
        self._fleet = fleet
        self._discover = discover
        self._upstream = upstream
        self._settings = settings
        self._key = LeaderKey(settings, time.monotonic())
        self.has_looked = False
        """Whether every leader was asked once."""

    async def run(self) -> None:
        """Look until cancelled."""
        looked_up_at = -self._settings.discover_seconds
        while True:
            began, asks_models = time.monotonic(), False
            if began - looked_up_at >= self._settings.discover_seconds or not self._fleet.leaders:
                looked_up_at = began
                await self._look_up()
                asks_models = True
            looks = (self._look(leader, asks_models=asks_models) for leader in self._fleet.leaders)
            await asyncio.gather(*looks)
            self._upstream.tidy(leader.address for leader in self._fleet.leaders)
            self.has_looked = True
            await asyncio.sleep(max(0.0, began + self._settings.poll_seconds - time.monotonic()))

    async def _look_up(self) -> None:
        addresses = await self._discover()
        if addresses is not None:
            self._fleet.know(addresses)

    async def _look(self, leader: Leader, *, asks_models: bool) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                problem = await self._problem(leader)
                if problem is None:
                    if asks_models or not leader.is_ready:
                        leader.models = await self._models(leader)
                    self._fleet.take(leader, num_requests=await self._num_requests(leader))
                    return
            self._fleet.drop(leader, problem)
        except UnreachableError as error:
            self._fleet.drop(leader, f"no connection: {error}", has_ended=error.is_refused)
        except (BrokenError, CutOffError) as error:
            self._fleet.drop(leader, f"connection broken: {error}")
        except TimeoutError:
            self._fleet.drop(leader, f"no answer within {LOOK_SECONDS:.0f} s")
        except NoNumberError as error:
            self._fleet.drop(leader, str(error))

    async def _problem(self, leader: Leader) -> str | None:
        status, body = await self._upstream.get(leader.address, "/readyz")
        if status != HTTPStatus.OK:
            return f"/readyz says {status}"
        return "a follower of its slice" if _is_follower(body) else None

    async def _models(self, leader: Leader) -> frozenset[str]:
        """Ask what it serves; while it does not take the router's key, what it said before."""
        key = self._key.headers(time.monotonic())
        status, body = await self._upstream.get(leader.address, "/v1/models", key)
        if status == HTTPStatus.UNAUTHORIZED:
            return leader.models
        return _model_names(body) if status == HTTPStatus.OK else frozenset()

    async def _num_requests(self, leader: Leader) -> int:
        status, body = await self._upstream.get(leader.address, "/metrics")
        return _total(_GAUGES.findall(body)) if status == HTTPStatus.OK else 0


def _total(gauges: list[bytes]) -> int:
    try:
        return round(sum(map(float, gauges)))
    except (ValueError, OverflowError) as error:  # no number, NaN; infinity
        raise NoNumberError(f"/metrics has requests that are no number: {error}") from error


def _is_follower(body: bytes) -> bool:
    try:
        state = json.loads(body)
    except ValueError:
        return False
    return isinstance(state, dict) and bool(state.get("rank"))


def _model_names(body: bytes) -> frozenset[str]:
    """Read a list of models; what is none names nothing."""
    try:
        return frozenset(model.id for model in msgspec.json.decode(body, type=_Models).data)
    except (msgspec.MsgspecError, UnicodeError):
        return frozenset()
