"""A request in its three stages; what each stage owns, its type says.

Submit ──► Request ──► Waiting ──► Running ──► (finished)
                          ▲           │
                          └───────────┘ preempted: keeps its output, loses pages and row
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from radixloom_runtime.cache.ledger import Lease
from radixloom_runtime.cache.radix import OWN
from radixloom_runtime.scheduler.adapters import Adapter
from radixloom_runtime.scheduler.guide import Guide
from radixloom_runtime.scheduler.speculation import Hunches
from radixloom_runtime.scheduler.turns import AGING
from radixloom_runtime.wire.messages import Submit, TokenLogprobs
from radixloom_runtime.wire.plan import Float32s

Rank = tuple[int, int]
"""(place in time, arrival): lower is served first, and preempted last. See `turns`."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for; never changes."""

    submit: Submit
    arrival: int
    end: int
    """Length, prompt included, at which the answer is cut."""
    stop_ids: frozenset[int]
    turn: int = 0
    """When it is its user's turn, without regard to priority."""
    adapter: Adapter | None = None
    """What changes the model for it."""

    @property
    def rank(self) -> Rank:
        """Place among all requests; no two are equal, and it never changes."""
        return self.turn + self.submit.priority * AGING, self.arrival

    @property
    def namespace(self) -> int:
        """Where the prefix cache has KV that it may read."""
        return OWN if self.adapter is None else self.adapter.namespace

    @property
    def priority(self) -> int:
        """Lower displaces higher."""
        return self.submit.priority

    @property
    def prompt_length(self) -> int:
        """Tokens of the prompt."""
        return len(self.submit.prompt_ids)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Owns nothing. `token_ids` is the prompt, after preemption also the output so far."""

    request: Request
    token_ids: tuple[int, ...]
    cached_tokens: int | None = None
    """What the client was told at first admission; None before it."""
    has_answered: bool = False
    """The first Output is out, and the prompt's logprobs with it."""
    guide: Guide | None = None
    """Stands where `token_ids` end; of answers that no grammar guides: None."""
    seated_at: float | None = None
    """When it was first admitted; None before it."""

    @property
    def wants_prompt_logprobs(self) -> bool:
        """Whether every prompt token must be computed for its logprob."""
        return self.request.submit.prompt_logprobs is not None and not self.has_answered

    @property
    def reads_cache(self) -> bool:
        """Whether tokens may be left out whose KV is known."""
        pools_all = self.request.submit.pooling not in {None, "last"}
        return not (pools_all or self.wants_prompt_logprobs)


class Phase(Enum):
    """What the next chunk of a running request is."""

    PREFILL = auto()
    """A part of its known tokens."""
    DECODE = auto()
    """Its last sampled token, which the device may be the only one to know."""
    VERIFYING = auto()
    """Nothing: what is in flight must be known first, guesses or a guided token."""
    ENDING = auto()
    """Nothing: the steps in flight bring it to its end."""


@dataclass(slots=True, eq=False)
class Running:
    """Owns a batch row and a lease of pages.

        token_ids    [ known ..................... ]( sampled in flight )
        planned      [ ................. num_planned )
                      KV computed or being computed

    `num_planned <= len(token_ids) + num_in_flight`.
    """

    request: Request
    row: int
    lease: Lease
    token_ids: list[int]
    num_planned: int
    prefill_end: int
    """Tokens known at admission, or when some were forced; then the device feeds itself."""
    cached_tokens: int
    has_answered: bool
    seated_at: float
    """When it was first admitted, which preemption does not change."""
    num_in_flight: int = 0
    """Tokens being sampled by steps that are not committed; guesses count as if they were right."""
    num_guessed: int = 0
    """Guesses in flight."""
    hunches: Hunches | None = None
    """Where guesses come from; None: there are none for this request."""
    guide: Guide | None = None
    """Stands where `token_ids` end."""
    allowed: bytes | None = None
    """Of a guided request: the mask that the device has."""
    is_live: bool = True
    """False once finished, aborted or preempted: results still in flight are dropped."""
    prompt_logprobs: list[TokenLogprobs | None] | None = field(default=None)
    """Collected over chunks, sent with the first Output; None if not wanted."""
    pooled: Float32s | None = None
    """Hidden states, summed up over chunks so far."""

    @property
    def phase(self) -> Phase:
        """What is to be planned next."""
        if self.num_planned < self.prefill_end:
            return Phase.PREFILL
        if self.num_guessed or (self.guide is not None and self.num_in_flight):
            return Phase.VERIFYING
        if len(self.token_ids) + self.num_in_flight < self.request.end:
            return Phase.DECODE
        return Phase.ENDING

    @property
    def awaits_token(self) -> bool:
        """Whether the token in flight decides what may come after it."""
        return self.guide is not None and self.num_in_flight > 0

    @property
    def num_reusable(self) -> int:
        """Tokens, from the first, that are known and whose KV is in the pages."""
        return min(self.num_planned, len(self.token_ids))
