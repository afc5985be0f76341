"""One service, an API server and the operator's turns between them."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from support.fake_api_server import Store
from support.llmservice_cases import manifest

from radixloom_operator.autoscaling.meter import Meter
from radixloom_operator.cluster import Cluster
from radixloom_operator.leaders import Leaders
from radixloom_operator.naming import RECORD_ANNOTATION, Key
from radixloom_operator.reconcile import reconcile
from radixloom_operator.settings import OperatorSettings

KEY = Key("default", "chat")
START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_SECONDS = 15


class Play:
    """One service from apply to the end."""

    def __init__(self, server: tuple[Store, Cluster]) -> None:
        self.store, self.cluster = server
        self.leaders, self.settings = Leaders(), OperatorSettings()
        self.meter = Meter(self.leaders, period_seconds=PERIOD_SECONDS)
        self.now = START

    def apply(self, change: dict[str, Any] | None = None) -> None:
        """Store the service as `kubectl apply` would."""
        self.store.put_service(manifest(change))

    def turn(self, *, seconds: float = 1) -> bool:
        """Take a turn, `seconds` after the last; return whether nothing was refused."""
        turn = reconcile(
            KEY,
            cluster=self.cluster,
            settings=self.settings,
            leaders=self.leaders,
            meter=self.meter,
            now=self.now,
        )
        self.now += timedelta(seconds=seconds)
        return turn.is_settled

    def settle(self, turns: int = 12) -> None:
        """Take turns, with a controller of StatefulSets between them."""
        for _ in range(turns):
            self.turn()
            self.store.run_statefulsets()

    def condition(self, kind: str) -> tuple[str, str]:
        """Return status and reason of a condition."""
        conditions = self.store.find("llmservices", "chat")["status"]["conditions"]
        (found,) = (one for one in conditions if one["type"] == kind)
        return found["status"], found["reason"]

    def status(self, name: str) -> Any:
        """Return a field of the status."""
        return self.store.find("llmservices", "chat")["status"][name]

    def told(self) -> list[str]:
        """Return the reasons of all events, in their order."""
        events = [one for path, one in self.store.objects.items() if "/events/" in path]
        return [one["reason"] for one in sorted(events, key=lambda one: one["metadata"]["name"])]

    def snapshot(self) -> dict[str, Any]:
        """Return everything but events, statuses and uids, which the records name too."""
        found = copy.deepcopy(self.store.objects)
        for one in found.values():
            one["metadata"].get("annotations", {}).pop(RECORD_ANNOTATION, None)
        return {
            path: {**one, "metadata": {**one["metadata"], "uid": ""}, "status": {}}
            for path, one in found.items()
            if "/events/" not in path and "/secrets/" not in path
        }
