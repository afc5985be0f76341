"""What the engine's loop is given on rank 0 of several hosts: a runner and a link that know them.

loop ── start(plan) ──► SliceRunner ── publish to followers, then start here
loop ── receive() ────► SliceLink   ── raise when a host is lost, drain when one is leaving
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic

import structlog

from radixloom_runtime.engine.hosts.leader import Leader
from radixloom_runtime.wire.channels import EngineChannel
from radixloom_runtime.wire.messages import EngineMessage, Followers, ServerMessage, StopWanted
from radixloom_runtime.wire.plan import HandleT, Limits, Runner, StepPlan, StepResult

_LOOK_SECONDS = 0.25
"""An idle leader looks after its followers this often."""

log = structlog.get_logger()


class SliceRunner(Generic[HandleT]):
    """Runs a plan on every host of the slice."""

    def __init__(self, runner: Runner[HandleT], leader: Leader) -> None:
        self._runner = runner
        self._leader = leader

    @property
    def limits(self) -> Limits:
        """What the runner of every host was built for."""
        return self._runner.limits

    def start(self, plan: StepPlan) -> HandleT:
        """Begin a step on all hosts: on the others first, which are a network's hop behind.

        Raises: `HostLostError`.
        """
        self._leader.publish(plan)
        return self._runner.start(plan)

    def finish(self, handle: HandleT) -> StepResult:
        """Wait for a step; every host has the same results, and this one fetches them."""
        return self._runner.finish(handle)


class SliceLink:
    """The channel to the server, which also looks after the other hosts."""

    def __init__(self, channel: EngineChannel, leader: Leader) -> None:
        self._channel = channel
        self._leader = leader
        self._has_told_leaving = False

    def send(self, messages: Sequence[EngineMessage]) -> None:
        """Send messages in one frame; nothing for none."""
        self._channel.send(messages)

    def receive(self, *, timeout_seconds: float) -> list[ServerMessage]:
        """Take all that has come, after waiting at most so long, or a quarter of a second.

        Raises: `HostLostError`.
        """
        self._leader.check()
        leaving = self._leader.leaving()
        if leaving is not None and not self._has_told_leaving:
            self._has_told_leaving = True
            log.info("slice.leaving", rank=leaving)
            self._channel.send([StopWanted(f"rank {leaving} was told to stop")])
        return self._channel.receive(timeout_seconds=min(timeout_seconds, _LOOK_SECONDS))


def follower_reports(channel: EngineChannel) -> Callable[[dict[int, str]], bool]:
    """Return what tells the server of the followers, and whether anything had changed."""
    told: dict[int, str] = {}

    def tell(states: dict[int, str]) -> bool:
        nonlocal told
        if states == told:
            return False
        told = states
        by_rank = {str(rank): state for rank, state in states.items()}
        channel.send([Followers(by_rank)])
        return True

    return tell


def limits_to_compare(limits: Limits) -> dict[str, int]:
    """Write limits as `slice_messages.Warm` carries them."""
    return {name: int(value) for name, value in dataclasses.asdict(limits).items()}
