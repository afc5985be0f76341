"""A step as numbers: what the scheduler decides and what the runner gives back.

    scheduler.plan() ──► StepPlan ──► runner.start(plan) ──► StepHandle
    scheduler.commit(plan, result) ◄── StepResult ◄── runner.finish(handle)

The plan is a delta: the device keeps, for each batch row, the page table, the sampling parameters
and the last sampled token. So the host's work is in what changed, and plan n+1 can be made and
started before the tokens of plan n are known.

A plan and its parts are msgspec structs: they go to the other hosts of a slice, in
`slice_messages.Run`, and a chunk is made for each running request and step, which costs a frozen
dataclass 1 µs. Results hold arrays and stay where they are, like limits: those are dataclasses.

Where the attention has several copies (data parallel), a row belongs to one *group*, and its pages
do, too; rows, pages and slots of all groups are numbered through:

    group       0                      1                      2 ...
    rows        0 ... max_rows - 1     max_rows ...
    pages       0 ... num_pages - 1    num_pages ...
"""

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.wire.messages import Sampling

Int32s = NDArray[np.int32]
Float32s = NDArray[np.float32]

MAX_TOP_LOGPROBS = 20
MAX_SCORED = 2
"""Token ids whose logits one chunk may ask for."""
MAX_GUESSES = 16
"""For one row in one step."""
FREE_TOKENS = 256
"""`Limits.free_tokens` of accelerators."""
DRAFTED = -1
"""In the place of a guessed token: the draft model guesses it, on the device."""


class RowStart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request takes a batch row: first admission, or again after preemption.

    Resets everything the device keeps for the row. `history_ids[:prompt_length]` is the prompt,
    the rest output so far; penalties count over it.
    """

    row: int
    sampling: Sampling
    history_ids: tuple[int, ...]
    prompt_length: int
    stop_token_ids: tuple[int, ...] = ()
    """Not sampled before `min_position`."""
    min_position: int = 0
    """First position at which a stop token may be sampled."""
    is_guided: bool = False
    """Samples only what the latest `RowMask` allows."""
    adapter_slot: int = 0
    """Where its adapter is loaded; 0: it has none."""


class RowMask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a guided row may sample from now on."""

    row: int
    allowed: bytes
    """A bit a token id, the lowest of a byte first; ids beyond its end are not allowed."""


class PageGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`page_ids` become entries `first_index...` of the row's page table."""

    row: int
    first_index: int
    page_ids: tuple[int, ...]


class PageMove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A copy between the KV pool and a slot of host memory."""

    page_id: int
    slot: int
    to_host: bool


class Chunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Consecutive tokens of one row that this step computes.

    A row has at most one chunk a step. `token_ids` empty: one token, the row's last sampled one,
    which only the device knows yet. `samples`: the chunk ends at the row's newest token, so that
    the next token (at position `start + length`) is sampled from its last logits.

    `guessed_ids`: only with an empty `token_ids`. Tokens that may come after the row's last one;
    they are computed along, and a token is sampled after each. Those that were sampled as guessed
    count; from the first wrong one on, everything is as if the chunk had ended before it. All or
    none of a chunk's are `DRAFTED`.
    """

    row: int
    start: int
    """Position of the first token; everything before it is in the row's pages."""
    token_ids: tuple[int, ...]
    samples: bool
    top_logprobs: int | None = None
    """Of the sampled token: None, or how many alternatives."""
    prompt_logprobs: int | None = None
    """Wanted for positions `start + 1 ... start + length` (those that the prompt has): the logprob
    of the *next* token given this one; `next_ids` are those next tokens."""
    next_ids: tuple[int, ...] = ()
    """With prompt_logprobs: the token after each of this chunk's; one shorter on the last."""
    guessed_ids: tuple[int, ...] = ()
    pooled: tuple[int, int] = (0, 0)
    """From and up to which of its tokens the hidden states are wanted, summed up."""
    scored_ids: tuple[int, ...] = ()
    """Tokens whose logits after the chunk's last one are wanted."""

    @property
    def is_prompt(self) -> bool:
        """Whether it needs a step that takes prompts: by its length, or by what it asks for."""
        wants = bool(self.next_ids or self.pooled[1] or self.scored_ids)
        return len(self.token_ids) > 1 or wants

    @property
    def length(self) -> int:
        """How many tokens are computed, guesses included."""
        return (len(self.token_ids) or 1) + len(self.guessed_ids)


class StepPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that every rank needs to run step `number`, of all groups.

    Order: moves, starts, grants, masks, chunks.
    Chunks that extend by one device-fed or known token (decodes) come first, prompt chunks after.
    Rows may share pages: a page that one chunk of this step fills may be read by another's.
    """

    number: int
    starts: tuple[RowStart, ...]
    grants: tuple[PageGrant, ...]
    chunks: tuple[Chunk, ...]
    moves: tuple[PageMove, ...] = ()
    """One after another, before all else."""
    masks: tuple[RowMask, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens computed in this step."""
        return sum(chunk.length for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Top:
    """The most likely tokens at one position, most likely first."""

    ids: Int32s
    logprobs: Float32s


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What one chunk of a plan gave; same order as `plan.chunks`."""

    token_id: int | None
    """Sampled token, if the chunk samples; with guesses, the first one."""
    logprob: float = 0.0
    """Of `token_id`, by the raw logits; only where logprobs were asked for."""
    top: Top | None = None
    prompt_logprobs: Float32s = field(default_factory=lambda: np.zeros(0, np.float32))
    """[len(next_ids)]"""
    prompt_tops: tuple[Top, ...] = ()
    further_ids: tuple[int, ...] = ()
    """Tokens sampled after `token_id`: one for each guess that was right."""
    pooled: Float32s | None = None
    """[D]: the sum of the hidden states that were asked for."""
    scores: Float32s | None = None
    """[len(scored_ids)]"""


@dataclass(frozen=True, slots=True)
class StepResult:
    """Results of step `number`, one per chunk."""

    number: int
    chunks: tuple[ChunkResult, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the runner was built for; the scheduler stays inside. All of each group."""

    num_pages: int
    page_tokens: int
    max_rows: int
    """Batch rows: requests running together. Guesses of a step take those that are free."""
    step_tokens: int
    """Most tokens in one step."""
    max_model_len: int
    is_recurrent: bool = False
    """A row's state only moves forward, by each token once and in order: pages that another
    request filled do not bring it along, and no token can be taken back."""
    num_host_pages: int = 0
    """Slots in host memory for pages that were evicted."""
    num_groups: int = 1
    """Copies of the attention: each request runs on one of them."""
    free_tokens: int = FREE_TOKENS
    """A step of so many tokens takes about as long as one of a single one: it reads the weights."""

    def group_of_row(self, row: int) -> int:
        """Return the group that a row belongs to."""
        return row // self.max_rows


class StepHandle(Protocol):
    """A step that was started; opaque to all but the runner that made it."""

    @property
    def number(self) -> int:
        """Of the plan it runs."""
        ...


HandleT = TypeVar("HandleT", bound=StepHandle)


class Runner(Protocol[HandleT]):
    """Runs plans in order. Two implementations: `runner/` (JAX) and the toy in `tests/support`."""

    @property
    def limits(self) -> Limits:
        """What this runner was built for."""
        ...

    def start(self, plan: StepPlan) -> HandleT:
        """Begin a step and return before it ends; plans run one after another."""
        ...

    def finish(self, handle: HandleT) -> StepResult:
        """Wait for a step and fetch its results."""
        ...
