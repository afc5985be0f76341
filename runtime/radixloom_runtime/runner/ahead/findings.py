"""What a plan found, in numbers. Pure; of one device wherever it does not say otherwise."""

from dataclasses import dataclass

from radixloom_runtime.runner.ahead.hlo import Collective


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one step says to other devices by one kind of collective."""

    kind: str
    count: int
    num_bytes: int
    """Of the results, on one device."""


@dataclass(frozen=True, slots=True)
class StepFindings:
    """One compiled step."""

    tokens: int
    rows: int
    mixed: bool
    arguments_bytes: int
    """Weights, KV pages and rows as they lie in memory, paddings included."""
    temporaries_bytes: int
    code_bytes: int
    results_bytes: int
    """What comes out beside what is updated in place."""
    traffic: tuple[Traffic, ...]
    weight_gathers: tuple[Collective, ...]
    """Collectives that bring a whole weight to a device: there should be none."""
    lower_seconds: float
    compile_seconds: float

    @property
    def name(self) -> str:
        """`decode 64`, `mixed 2048x256`."""
        return f"mixed {self.tokens}x{self.rows}" if self.mixed else f"decode {self.rows}"

    @property
    def peak_bytes(self) -> int:
        """Memory of a device while the step runs."""
        return self.arguments_bytes + self.temporaries_bytes + self.code_bytes + self.results_bytes


@dataclass(frozen=True, slots=True)
class Findings:
    """A model on a slice."""

    architecture: str
    dtype: str
    kv_dtype: str
    target: str
    """The slice in words."""
    num_devices: int
    """Of the whole slice."""
    devices_per_chip: int
    used_devices: int
    """That the model spans."""
    num_groups: int
    """Copies of the attention: each has KV pages, rows and tokens of a step as told below."""
    hbm_bytes: int | None
    """That programs may use; None on CPU, where it is the machine's memory."""
    weights_bytes: int
    kv_bytes: int
    kv_tokens: int
    """Of one copy of the attention."""
    page_tokens: int
    max_model_len: int
    max_rows: int
    step_tokens: int
    steps: tuple[StepFindings, ...] = ()

    @property
    def peak_bytes(self) -> int:
        """Memory of a device while the dearest step runs; 0 before any was compiled."""
        return max((step.peak_bytes for step in self.steps), default=0)
