"""Asking leaders and routers over the pod network. Blocking; safe to share between threads.

One that does not answer as it should is no error: as from outside the cluster, it may be out of
reach, and whoever asks does with what is known.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
import urllib3
from pydantic import BaseModel, ValidationError

from radixloom_operator.demand import Demand, read_demand
from radixloom_operator.load import Load, read_load

log = structlog.stdlib.get_logger()

_TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)
_LARGEST_REPORT = 1 << 16
_LARGEST_METRICS = 1 << 18
_ASKED_AT_ONCE = 16


class EngineReport(BaseModel):
    """What a leader says of its start; what else it says is its own affair."""

    start_seconds: dict[str, float]
    num_buckets: int
    compile_cache_hits: int


def _connections() -> urllib3.PoolManager:
    return urllib3.PoolManager(timeout=_TIMEOUT, retries=False, maxsize=_ASKED_AT_ONCE)


def _askers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="leaders")


@dataclass(frozen=True, slots=True)
class Leaders:
    """Asks leaders, and the routers before them; an address is host:port."""

    _pool: urllib3.PoolManager = field(default_factory=_connections)
    _askers: ThreadPoolExecutor = field(default_factory=_askers)

    def report(self, address: str) -> EngineReport | None:
        """Ask what its start took; None when it does not answer as it should."""
        answer = self._get(f"http://{address}/startupz", _LARGEST_REPORT)
        if answer is None:
            return None
        try:
            return EngineReport.model_validate_json(answer)
        except ValidationError as error:
            log.info("leader.unreadable", address=address, error=str(error)[:200])
            return None

    def loads(self, addresses: Sequence[str]) -> list[Load | None]:
        """Ask all of them how busy they are, at once; None for one that did not say."""
        return list(self._askers.map(self._load, addresses))

    def demands(self, addresses: Sequence[str]) -> list[Demand | None]:
        """Ask routers what is asked of them, all at once; None for one that did not say."""
        return list(self._askers.map(self._demand, addresses))

    def _load(self, address: str) -> Load | None:
        metrics = self._metrics(address)
        return None if metrics is None else read_load(metrics)

    def _demand(self, address: str) -> Demand | None:
        metrics = self._metrics(address)
        return None if metrics is None else read_demand(metrics)

    def _metrics(self, address: str) -> str | None:
        answer = self._get(f"http://{address}/metrics", _LARGEST_METRICS) if address else None
        return None if answer is None else answer.decode(errors="replace")

    def _get(self, url: str, most_bytes: int) -> bytes | None:
        try:
            answer = self._pool.request("GET", url, preload_content=False, redirect=False)
            try:
                return answer.read(most_bytes) if answer.status == HTTPStatus.OK else None
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            log.info("leader.unreachable", url=url, error=str(error)[:200])
            return None
