"""What the processes say to each other, as msgspec structs.

    server process                        engine process
        Submit, Abort, Drain    ─────►    engine/loop
        Flush, Pin, Unpin, Look,
        Pause, Resume,
        StartProfile, StopProfile,
        UpdateWeights, LoadAdapter,
        UnloadAdapter
        Starting, Ready,        ◄─────
        Output, Rejected, TimedOut,
        CacheChanged, CacheLook, Done,
        Stats, Followers, StopWanted,
        Failed

Token ids only: text lives in the server process. Unknown tags and fields are refused by the codec.
"""

from typing import Literal

import msgspec

from radixloom_runtime.wire.cached_tree import CachedTree

WIRE_VERSION = 12
"""Bumped with every change of a struct below; both ends refuse another version."""


Pooling = Literal["last", "mean", "first"]
"""Of which of a prompt's tokens the hidden states are averaged."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one request chooses its tokens; already checked and with defaults filled in.

    temperature 0 is greedy. top_k 0 keeps all. `seed` is always given: the server draws one for
    requests without, so that a preempted request continues with the same tokens.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    """uint32; the token at position p is drawn with the key (seed, p) and nothing else."""
    presence_penalty: float = 0.0
    """Subtracted once from the logit of every token already in the *output*."""
    frequency_penalty: float = 0.0
    """Subtracted per occurrence in the *output*."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens in prompt *and* output."""
    logit_bias: dict[int, float] = {}


class Submit(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Accept a request. `len(prompt_ids) >= 1`; fits the context (checked by the server)."""

    request_id: str
    prompt_ids: list[int]
    max_tokens: int
    """0 only together with `prompt_logprobs`, `pooling` or `scored_ids`."""
    sampling: Sampling = Sampling()
    stop_token_ids: list[int] = []
    """End-of-sequence ids included, unless the client said ignore_eos."""
    min_tokens: int = 0
    """Below this many output tokens no id of `stop_token_ids` is sampled."""
    logprobs: int | None = None
    """None: no logprobs; k >= 0: logprob of each output token and of the k most likely (<= 20)."""
    prompt_logprobs: int | None = None
    """The same for prompt tokens; turns off reading the prefix cache for this request."""
    priority: int = 0
    """Lower runs first, and displaces higher."""
    user: str = ""
    """At equal priority users take turns; those without a name are one user."""
    deadline: float | None = None
    """On this machine's monotonic clock, in seconds: when nobody waits for the answer any more."""
    grammar: str = ""
    """What the answer must be, as llguidance reads it; empty: anything."""
    adapter: str = ""
    """Name of a loaded adapter; empty: the model as it is."""
    pooling: Pooling | None = None
    """Tell the final norm's output, pooled; only with max_tokens 0. All but "last" turns off
    reading the prefix cache for this request: what is cached has no hidden states."""
    scored_ids: list[int] = []
    """Tell these tokens' logits after the prompt; only with max_tokens 0 and without `pooling`. At
    most `plan.MAX_SCORED`."""


class Abort(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Forget a request and free what it holds; exact id. No answer is sent."""

    request_id: str


class Drain(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Finish what is accepted, then exit 0."""


class Flush(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Drop all cached prefixes that no running request and no pin holds."""

    request_id: str


class Pin(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Compute a prefix if need be, and keep its whole pages until Unpin."""

    request_id: str
    """Names the pin from then on."""
    prompt_ids: list[int]
    deadline: float | None = None
    """On this machine's monotonic clock: a prefix not pinned by then is given up (TimedOut)."""


class Unpin(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Let a pinned prefix be evicted again; also when it is still being computed."""

    request_id: str
    pin_id: str
    """`request_id` of the Pin."""


class Look(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Tell what the prefix cache holds, within bounds."""

    request_id: str
    max_nodes: int
    """Of each group's tree."""
    max_ids: int
    """Of each node: the tokens that it begins with."""


class Pause(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Finish the step in flight, then plan none until Resume or Drain."""

    request_id: str


class Resume(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Plan steps again."""

    request_id: str


class StartProfile(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Record what this host does, in the folder of its settings."""

    request_id: str
    num_steps: int | None = None
    """After as many it ends by itself; None: with StopProfile."""
    host_tracer_level: int | None = None
    python_tracer_level: int | None = None


class StopProfile(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Write what was recorded."""

    request_id: str


class UpdateWeights(
    msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True
):
    """Take the weights of another checkpoint of the same model, and forget all KV and pins."""

    request_id: str
    folder: str


class LoadAdapter(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Load an adapter for requests from now on; one of the same name is unloaded."""

    request_id: str
    name: str
    folder: str


class UnloadAdapter(
    msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True
):
    """Accept no more requests with an adapter; those that were accepted go on."""

    request_id: str
    name: str


Question = (
    Flush
    | Pin
    | Unpin
    | Look
    | Pause
    | Resume
    | StartProfile
    | StopProfile
    | UpdateWeights
    | LoadAdapter
    | UnloadAdapter
)
"""What is not about an answer."""

ServerMessage = Submit | Abort | Drain | Question


class TokenLogprobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Natural-log probabilities at one position, of the model's own distribution.

    Computed from the raw logits in float32, before temperature, penalties and truncation.
    """

    token_id: int
    logprob: float
    top_ids: list[int]
    """Most likely first, as many as asked for."""
    top_logprobs: list[float]


class Output(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """New tokens of one request: a delta. The last one carries `finish_reason`."""

    request_id: str
    token_ids: list[int]
    """The stop token itself is included when that is the reason."""
    logprobs: list[TokenLogprobs] | None = None
    """One per token id, when asked for."""
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    """On the first Output, when asked for: one per prompt token, None for the first."""
    cached_tokens: int = 0
    """Prompt tokens whose KV came from the prefix cache; same in every Output of a request."""
    finish_reason: str | None = None
    """"stop" (a stop token id, or a grammar's end) or "length"."""
    scheduled_at: float | None = None
    """On the first Output: when it left the queue, on this machine's monotonic clock."""
    ends_in_text: bool = False
    """With "stop": the last id is no stop token; a grammar allows nothing after it."""
    vector: bytes = b""
    """What was asked for by `pooling` or `scored_ids`: float32, little endian."""


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """A Submit or Pin that was not accepted; nothing else follows for its id.

    Or a Submit whose grammar turned out, after some Outputs, to be more than can be followed.
    """

    request_id: str
    message: str
    retry_after_seconds: float | None = None
    """Given when the queue is full (429); None when the request can never run (400)."""
    is_grammars_fault: bool = False
    """Whether it would be accepted without its grammar."""


class TimedOut(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """A Submit's or Pin's deadline has passed; it was forgotten, and nothing follows for its id."""

    request_id: str


class CacheChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """What a Flush, Pin or Unpin has done; to a Pin, Rejected or TimedOut may answer instead."""

    request_id: str
    num_tokens: int
    """Dropped, pinned, or unpinned (0: there was no such pin)."""


class CacheLook(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """The answer to a Look; `trees` has one for each group."""

    request_id: str
    page_tokens: int
    trees: list[CachedTree]


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """What was asked beside requests and cache was obeyed; Rejected may answer instead."""

    request_id: str


class Starting(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Progress before Ready."""

    phase: str
    """"process", "slice", "import", "weights" or "compile"."""
    done: float
    total: float
    unit: str
    """"hosts", "modules", "bytes" or "buckets"; empty in phase "process"."""
    seconds: float
    """Since this phase began."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """The engine has run a step and accepts requests."""

    max_model_len: int
    vocab_size: int
    kv_cache_tokens: int
    page_tokens: int
    max_running_requests: int
    embed_dim: int
    """Numbers of a hidden state."""
    has_head: bool
    """Whether there is an output layer: without one nothing is generated or scored."""
    dtype: str
    kv_cache_dtype: str
    device: str
    start_seconds: dict[str, float]
    """Seconds a phase took: "import", "weights", "compile", "total"."""
    compile_cache_hits: int
    """Buckets that came from the persistent compilation cache."""
    num_buckets: int


class Stats(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """State and lifetime counters of the engine.

    Sent at most a few times a second, and when idle every few seconds as a sign of life.
    """

    num_running: int
    num_waiting: int
    kv_tokens_used: int
    """Held by running requests or pinned; pages shared by several count once."""
    kv_tokens_cached: int
    """Held by the prefix cache alone; can be evicted."""
    kv_tokens_pinned: int
    """Set apart for pins: also while one is computed, and twice what two have pinned."""
    kv_tokens_host: int
    """Evicted, with a copy in host memory."""
    kv_tokens_total: int
    steps: int
    seconds_since_step: float
    """Since a step last succeeded."""
    prompt_tokens: int
    cached_tokens: int
    restored_tokens: int
    """Of the cached ones, those that were copied back from host memory."""
    output_tokens: int
    preemptions: int
    expired: int
    """Requests whose deadline passed."""
    guessed_tokens: int
    """Of speculation; `right_guesses` of them were what was then sampled."""
    right_guesses: int
    compiles_after_warmup: int
    step_seconds: float
    """Total seconds spent in steps, waiting for the device included."""
    host_seconds: float
    """Of these, seconds of scheduling and bookkeeping on the host."""


class Followers(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """What the other hosts of the slice do, by rank; sent when it changes."""

    states: dict[str, str]
    """"absent", "joined", a phase of the start with its progress, "warm"."""


class StopWanted(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Another host of the slice was told to stop: the server should drain as if it were this."""

    reason: str


class Failed(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The engine cannot go on and is about to exit with `exit_code`."""

    message: str
    exit_code: int


StateMessage = Starting | Ready | Stats | Followers | StopWanted | Failed
"""What the engine says of itself rather than of a request."""

EngineMessage = Output | Rejected | TimedOut | CacheChanged | CacheLook | Done | StateMessage
