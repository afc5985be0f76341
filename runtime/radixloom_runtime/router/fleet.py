"""The leaders that a router knows: which are ready, how busy each is, what each was sent.

discovery ──► know ──► not ready ──watch: /readyz 200──► ready
▲  ────── drop: a look or a request failed ──────┘
"""

import asyncio
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from radixloom_runtime.router import policy
from radixloom_runtime.router.fingerprint import Fingerprint
from radixloom_runtime.router.policy import Candidate, Choice, Rules
from radixloom_runtime.router.prefixes import PrefixIndex
from radixloom_runtime.router_settings import RoutePolicy, RouterSettings

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Leader:
    """One leader."""

    address: str
    """Like `http://10.0.0.7:8000`."""
    prefixes: PrefixIndex
    is_ready: bool = False
    in_flight: int = 0
    """Requests that this router sent it."""
    others: int = 0
    """Requests that others sent it, when it was last looked at."""
    models: frozenset[str] = frozenset()
    """What it serves by name, adapters too; empty where that is not known."""
    problem: str = "not yet asked"
    """Why it is not ready."""

    @property
    def load(self) -> int:
        """Requests that run or wait there."""
        return self.in_flight + self.others

    def serves(self, model: str) -> bool:
        """Tell whether it is known to serve a model, or an adapter, also as `model:adapter`."""
        return model in self.models or model.rpartition(":")[2] in self.models


class Fleet:
    """All leaders; `ready` is set while one is."""

    def __init__(self, settings: RouterSettings) -> None:
        self._settings = settings
        self._rules = Rules(settings.load_factor, settings.load_slack, settings.least_gain)
        self._leaders: dict[str, Leader] = {}
        self._turns = 0
        self.ready = asyncio.Event()
        self.ready_since: float | None = None
        """Monotonic time since when there is a ready leader; None while there is none."""

    @property
    def leaders(self) -> list[Leader]:
        """All that are known."""
        return list(self._leaders.values())

    @property
    def num_ready(self) -> int:
        """How many of them are ready."""
        return sum(leader.is_ready for leader in self._leaders.values())

    @property
    def num_running(self) -> int:
        """Requests that they work on for this router."""
        return sum(leader.in_flight for leader in self._leaders.values())

    @property
    def num_blocks(self) -> int:
        """Blocks remembered of all leaders."""
        return sum(len(leader.prefixes) for leader in self._leaders.values())

    def know(self, addresses: Iterable[str]) -> None:
        """Take these leaders for all there are."""
        wanted = dict.fromkeys(addresses)
        for address in wanted.keys() - self._leaders.keys():
            self._leaders[address] = Leader(address, self._new_index())
            log.info("leader.found", leader=address)
        for address in self._leaders.keys() - wanted.keys():
            self._leaders.pop(address).is_ready = False
            log.info("leader.gone", leader=address)
        self._tell()

    def take(self, leader: Leader, *, num_requests: int) -> None:
        """Send requests to a leader that has `num_requests` in all."""
        leader.others = max(0, num_requests - leader.in_flight)
        if not leader.is_ready and self._leaders.get(leader.address) is leader:
            leader.is_ready = True
            log.info("leader.ready", leader=leader.address)
            self._tell()

    def drop(self, leader: Leader, problem: str, *, has_ended: bool = False) -> None:
        """Send it no more requests until it is taken again; one that ended has lost its cache."""
        if has_ended:
            leader.prefixes.clear()
        if leader.is_ready:
            log.warning("leader.not_ready", leader=leader.address, problem=problem)
        elif problem != leader.problem:
            log.info("leader.not_ready", leader=leader.address, problem=problem)
        leader.is_ready, leader.problem = False, problem
        self._tell()

    @contextmanager
    def assigned(
        self, prompt: Fingerprint, now: float
    ) -> Generator[tuple[Leader, Choice] | None, None, None]:
        """Give the leader for a prompt, and count the request as its own meanwhile; or None."""
        candidates = [
            Candidate(each.address, each.load, each.prefixes.matched(prompt.blocks, now))
            for each in self._able(prompt.model)
        ]
        if not candidates:
            yield None
            return
        choice = self._choose(candidates, prompt)
        leader = self._leaders[choice.name]
        leader.prefixes.touch(prompt.blocks, now)
        leader.in_flight += 1
        try:
            yield leader, choice
        finally:
            leader.in_flight -= 1

    def _able(self, model: str) -> list[Leader]:
        """Return ready leaders that serve the model; where none is known to, one of all refuses."""
        ready = [each for each in self._leaders.values() if each.is_ready]
        return [each for each in ready if each.serves(model)] or ready

    def _choose(self, candidates: list[Candidate], prompt: Fingerprint) -> Choice:
        if self._settings.policy is RoutePolicy.PREFIX:
            return policy.choose(candidates, prompt.home, self._rules)
        self._turns += 1
        return policy.in_turn(candidates, self._turns)

    def _new_index(self) -> PrefixIndex:
        return PrefixIndex(
            max_blocks=self._settings.prefix_blocks,
            max_age_seconds=self._settings.prefix_seconds,
        )

    def _tell(self) -> None:
        if not self.num_ready:
            self.ready.clear()
            self.ready_since = None
        elif self.ready_since is None:
            self.ready.set()
            self.ready_since = time.monotonic()
