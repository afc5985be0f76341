"""Runs step plans on the device; holds all of its state."""

from dataclasses import dataclass

from radixloom_runtime.wire.plan import Limits, StepPlan, StepResult


@dataclass(frozen=True, slots=True)
class JaxStep:
    """A step that was started."""

    number: int


class JaxRunner:
    """The `wire.plan.Runner` of JAX devices."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    @property
    def limits(self) -> Limits:
        """What this runner was built for."""
        return self._limits

    def start(self, plan: StepPlan) -> JaxStep:
        """Begin a step and return before it ends."""
        return JaxStep(plan.number)

    def finish(self, handle: JaxStep) -> StepResult:
        """Wait for a step and fetch its results."""
        raise NotImplementedError(handle)
