"""A runner whose answers can be worked out by hand, and which really reads KV through page tables.

The "KV" of a token is the pair (token, position), kept in the slot that the row's page table
names. To sample, a row gathers the pairs of positions 0 ... p through its page table; a wrong
page, a page reused too early or a token that was never computed is found there and then. The next
token follows from the gathered tokens alone:

    next = (seed + sum of (position + 1) * (token + 1)) % VOCAB_SIZE

but for every fourth seed, whose answers go round in loops with a jolt now and then:

    next = (sum of the last two tokens + length // 7) % 3

With a toy draft model (a function from seed and tokens to a guess), the same holds for a second
set of pages with the same ids, which the guesses are read from and every step is written to.

As on a device, a plan is a delta to what rows keep (page table, last token), all tokens of a step
are stored before any is read, and results are given out later than the step was started.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from radixloom_runtime.wire.messages import Sampling, Submit
from radixloom_runtime.wire.plan import (
    DRAFTED,
    Chunk,
    ChunkResult,
    Limits,
    PageGrant,
    PageMove,
    RowStart,
    StepPlan,
    StepResult,
    Top,
)

VOCAB_SIZE = 53
EMBED_DIM = 4
LOOPING = 3
"""Seeds with this remainder by 4 give answers that repeat themselves."""

SLOTS = {"": 0, "one": 1, "two": 2}
"""Where the toy's adapters are; each adds its own to every answer."""


def next_token(
    seed: int, tokens: list[int], forbidden: frozenset[int] = frozenset(), *, slot: int = 0
) -> int:
    """The token after `tokens`; the one above it, as often as it is forbidden."""
    if seed % 4 == LOOPING:
        total = (sum(tokens[-2:]) + len(tokens) // 7 + slot) % 3
    else:
        total = (
            seed
            + 7 * slot
            + sum((position + 1) * (token + 1) for position, token in enumerate(tokens))
        )
    token_id = total % VOCAB_SIZE
    while token_id in forbidden:
        token_id = (token_id + 1) % VOCAB_SIZE
    return token_id


def _unset(mask: bytes) -> frozenset[int]:
    bits = int.from_bytes(mask, "little")
    return frozenset(token for token in range(VOCAB_SIZE) if not bits >> token & 1)


def logprob_of(tokens: list[int], token_id: int) -> float:
    """The logprob that the toy gives to `token_id` after `tokens`; exact in float32."""
    return -((sum(tokens) + len(tokens) + token_id) % 64) / 8


def top_of(tokens: list[int], count: int) -> Top:
    """The `count` most likely tokens after `tokens`."""
    ranked = sorted(
        range(VOCAB_SIZE), key=lambda token_id: (-logprob_of(tokens, token_id), token_id)
    )
    ids = ranked[:count]
    logprobs = [logprob_of(tokens, token_id) for token_id in ids]
    return Top(np.array(ids, np.int32), np.array(logprobs, np.float32))


def state_of(tokens: list[int]) -> np.ndarray:
    """The hidden state that the toy has after `tokens`; exact in float32, and so are its sums."""
    token_id = tokens[-1]
    return np.array([token_id, len(tokens), sum(tokens) % 64, 1], np.float32)


def score_of(tokens: list[int], token_id: int) -> float:
    """The logit that the toy gives to `token_id` after `tokens`."""
    return float(sum(tokens) * (1 + token_id) % 7)


def expected_vector(submit: Submit) -> bytes:
    """What a request gets that asks for a vector; empty for others."""
    prompt = submit.prompt_ids
    states = [state_of(prompt[: end + 1]) for end in range(len(prompt))]
    vectors = {
        "last": states[-1],
        "first": states[0],
        "mean": np.sum(states, axis=0, dtype=np.float32) / np.float32(len(states)),
        None: np.array([score_of(prompt, each) for each in submit.scored_ids], np.float32),
    }
    return vectors[submit.pooling].astype("<f4").tobytes()


def expected_tokens(submit: Submit, limits: Limits) -> tuple[list[int], str]:
    """What a request gets when nothing else exists: its output tokens and its finish reason."""
    tokens = list(submit.prompt_ids)
    slot = SLOTS[submit.adapter]
    end = min(len(tokens) + submit.max_tokens, limits.max_model_len)
    while len(tokens) < end:
        count = len(tokens) - len(submit.prompt_ids)
        forbidden = frozenset(submit.stop_token_ids) if count < submit.min_tokens else frozenset()
        tokens.append(next_token(submit.sampling.seed, tokens, forbidden, slot=slot))
        if tokens[-1] in submit.stop_token_ids:
            return tokens[len(submit.prompt_ids) :], "stop"
    return tokens[len(submit.prompt_ids) :], "length"


@dataclass(frozen=True)
class ToyHandle:
    """A started step."""

    number: int
    result: StepResult
    first_tokens: frozenset[int] = frozenset()
    """Of the prompts that begin in this step."""


@dataclass
class _Row:
    """What the device keeps for a batch row."""

    sampling: Sampling
    history: list[int]
    """The tokens that the row's pages must be found to hold."""
    prompt_length: int
    stop_token_ids: frozenset[int]
    min_position: int
    is_guided: bool
    slot: int = 0
    """Of its adapter: KV that was computed with another one, or none, is not its own."""
    allowed: bytes | None = None
    page_table: list[int] = field(default_factory=list)
    has_sampled: bool = False
    num_computed: int = 0
    """Tokens that went into the row's state, if the toy is a recurrent model."""


def _marked(token_id: int, row: _Row) -> int:
    """What a token's KV is, which its adapter has a part in."""
    return token_id + 1000 * row.slot


class ToyRunner:
    """A `wire.plan.Runner`; asserts that plans keep the contract."""

    def __init__(
        self, limits: Limits, *, draft: Callable[[int, list[int]], int] | None = None
    ) -> None:
        self.limits = limits
        self._draft = draft
        self._draft_slots: dict[tuple[int, int], tuple[int, int]] = {}
        self._draft_host: dict[int, list[tuple[int, int] | None]] = {}
        self.num_computed_tokens = 0
        self.num_restored_tokens = 0
        self._host: dict[int, list[tuple[int, int]]] = {}
        self._slots: dict[tuple[int, int], tuple[int, int]] = {}
        self._rows: dict[int, _Row] = {}
        self._next_number = 0
        self._started: deque[ToyHandle] = deque()

    # --- the Runner protocol

    def start(self, plan: StepPlan) -> ToyHandle:
        assert plan.number == self._next_number, "plans come in order, without gaps"
        assert len(self._started) < 2, "at most one step behind the one that runs"
        for group in range(self.limits.num_groups):
            self._check_size([c for c in plan.chunks if self.limits.group_of_row(c.row) == group])
        assert plan.chunks
        self._next_number += 1
        for move in plan.moves:
            self._move(move)
        for start in plan.starts:
            self._start_row(start)
        for grant in plan.grants:
            self._grant(grant)
        for mask in plan.masks:
            assert self._rows[mask.row].is_guided, "only guided rows have masks"
            self._rows[mask.row].allowed = mask.allowed
        self._check_chunks(plan.chunks)
        chunks = self._guess_and_follow(plan.chunks)
        fed = [self._store(chunk) for chunk in chunks]
        results = tuple(map(self._attend, chunks, fed))
        firsts = frozenset(c.token_ids[0] for c in plan.chunks if c.token_ids and not c.start)
        handle = ToyHandle(plan.number, StepResult(plan.number, results), firsts)
        self._started.append(handle)
        return handle

    def finish(self, handle: ToyHandle) -> StepResult:
        assert self._started.popleft() is handle, "steps finish in the order they started"
        return handle.result

    # --- what a device does

    def _move(self, move: PageMove) -> None:
        assert 0 <= move.slot < self.limits.num_host_pages * self.limits.num_groups
        group = move.slot // self.limits.num_host_pages
        assert group == move.page_id // self.limits.num_pages, "a page goes to its group's slots"
        places = [(move.page_id, offset) for offset in range(self.limits.page_tokens)]
        if move.to_host:
            self._host[move.slot] = [self._slots[place] for place in places]
            self._draft_host[move.slot] = [self._draft_slots.get(place) for place in places]
        else:
            self._slots |= zip(places, self._host[move.slot], strict=True)
            kept = zip(places, self._draft_host[move.slot], strict=True)
            self._draft_slots |= {place: pair for place, pair in kept if pair is not None}
            self.num_restored_tokens += self.limits.page_tokens

    def _start_row(self, start: RowStart) -> None:
        assert 0 <= start.row < self.limits.max_rows * self.limits.num_groups
        self._rows[start.row] = _Row(
            sampling=start.sampling,
            history=list(start.history_ids),
            prompt_length=start.prompt_length,
            stop_token_ids=frozenset(start.stop_token_ids),
            min_position=start.min_position,
            is_guided=start.is_guided,
            slot=start.adapter_slot,
        )

    def _grant(self, grant: PageGrant) -> None:
        table = self._rows[grant.row].page_table
        assert grant.first_index == len(table), "a page table grows at its end"
        groups = {page_id // self.limits.num_pages for page_id in grant.page_ids}
        assert groups <= {self.limits.group_of_row(grant.row)}, "a row has pages of its group"
        table += grant.page_ids

    def _check_size(self, chunks: list[Chunk]) -> None:
        """A group's part of a step."""
        assert sum(chunk.length for chunk in chunks) <= self.limits.step_tokens
        lines = sum(1 + len(chunk.guessed_ids) for chunk in chunks)
        assert lines <= self.limits.max_rows, "guesses take rows that are free"

    def _check_chunks(self, chunks: tuple[Chunk, ...]) -> None:
        rows = [chunk.row for chunk in chunks]
        assert len(rows) == len(set(rows)), "a row has at most one chunk a step"
        is_prompt = [bool(chunk.token_ids) for chunk in chunks]
        assert is_prompt == sorted(is_prompt), "decodes come first"

    def _slot(self, row: _Row, position: int) -> tuple[int, int]:
        page_index, offset = divmod(position, self.limits.page_tokens)
        assert page_index < len(row.page_table), f"no page was granted for position {position}"
        return row.page_table[page_index], offset

    def _guess_and_follow(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Put the draft model's guesses in their places, and the step's tokens in its pages."""
        if self._draft is None:
            assert not any(DRAFTED in chunk.guessed_ids for chunk in chunks), "nobody drafts here"
            return chunks
        guessed = tuple(
            self._drafted(chunk) if DRAFTED in chunk.guessed_ids else chunk for chunk in chunks
        )
        if any(DRAFTED not in chunk.guessed_ids for chunk in chunks):
            for chunk in guessed:
                row = self._rows[chunk.row]
                tokens = (*(chunk.token_ids or row.history[-1:]), *chunk.guessed_ids)
                for position, token_id in enumerate(tokens, chunk.start):
                    self._draft_slots[self._slot(row, position)] = (token_id, position)
        return guessed

    def _drafted(self, chunk: Chunk) -> Chunk:
        assert self._draft is not None
        assert set(chunk.guessed_ids) == {DRAFTED}, "all are drafted, or none"
        row = self._rows[chunk.row]
        tokens = list(row.history[: chunk.start + 1])
        for _ in (*chunk.guessed_ids, "the last one is stored, too"):
            position = len(tokens) - 1
            self._draft_slots[self._slot(row, position)] = (tokens[-1], position)
            found = [self._draft_slots.get(self._slot(row, place)) for place in range(len(tokens))]
            assert found == [(token_id, place) for place, token_id in enumerate(tokens)], (
                f"the draft model has not followed row {chunk.row}"
            )
            tokens.append(self._draft(row.sampling.seed, tokens))
        return msgspec.structs.replace(chunk, guessed_ids=tuple(tokens[chunk.start + 1 : -1]))

    def _store(self, chunk: Chunk) -> int:
        """Write a chunk's tokens into its pages; return the position after them."""
        row = self._rows[chunk.row]
        assert chunk.token_ids or row.has_sampled, "nothing was sampled that could be fed"
        token_ids = chunk.token_ids or (row.history[-1],)
        end = chunk.start + len(token_ids)
        assert not (chunk.guessed_ids and chunk.token_ids), "guesses come after a sampled token"
        assert end + len(chunk.guessed_ids) <= self.limits.max_model_len
        for position, token_id in enumerate(chunk.guessed_ids, end):
            assert not self.limits.is_recurrent, "a state takes no guess back"
            self._slots[self._slot(row, position)] = (_marked(token_id, row), position)
        if row.is_guided:
            row.history += token_ids[len(row.history) - chunk.start :]  # those that were forced
        assert list(token_ids) == row.history[chunk.start : end], "these are not the row's tokens"
        assert end <= self.limits.max_model_len
        assert chunk.samples <= (end == len(row.history)), "only after the newest token"
        if self.limits.is_recurrent:
            assert chunk.start == row.num_computed, "a state takes each token once and in order"
        row.num_computed = end
        for position, token_id in enumerate(token_ids, chunk.start):
            self._slots[self._slot(row, position)] = (_marked(token_id, row), position)
        self.num_computed_tokens += chunk.length
        return end

    def _attend(self, chunk: Chunk, end: int) -> ChunkResult:
        row = self._rows[chunk.row]
        found = [self._slots[self._slot(row, position)] for position in range(end)]
        tokens = row.history[:end]
        expected = [(_marked(token_id, row), place) for place, token_id in enumerate(tokens)]
        assert found == expected, f"row {chunk.row} reads KV that is not its own"
        prompt_logprobs, prompt_tops = self._judge_prompt(chunk, tokens)
        if not chunk.samples:
            return ChunkResult(
                None,
                prompt_logprobs=prompt_logprobs,
                prompt_tops=prompt_tops,
                **self._vectors(chunk, tokens),
            )
        token_id, *further = self._sample(row, tokens, chunk.guessed_ids)
        row.history += [token_id, *further]
        row.has_sampled = True
        top = None if chunk.top_logprobs is None else top_of(tokens, chunk.top_logprobs)
        logprob = 0.0 if chunk.top_logprobs is None else logprob_of(tokens, token_id)
        return ChunkResult(token_id, logprob, top, prompt_logprobs, prompt_tops, tuple(further))

    def _vectors(self, chunk: Chunk, tokens: list[int]) -> dict[str, np.ndarray]:
        first, last = (chunk.start + place for place in chunk.pooled)
        found: dict[str, np.ndarray] = {}
        if chunk.pooled[1]:
            states = [state_of(tokens[: place + 1]) for place in range(first, last)]
            found["pooled"] = np.sum(states, axis=0, dtype=np.float32)
        if chunk.scored_ids:
            scores = [score_of(tokens, token_id) for token_id in chunk.scored_ids]
            found["scores"] = np.array(scores, np.float32)
        return found

    def _sample(self, row: _Row, tokens: list[int], guessed_ids: tuple[int, ...]) -> list[int]:
        """The token after `tokens`, and one after each guess as long as they are right."""
        sampled: list[int] = []
        for guess in (*guessed_ids, None):
            end = len(tokens)
            forbidden = row.stop_token_ids if end < row.min_position else frozenset[int]()
            if row.is_guided:
                assert row.allowed is not None, "a guided row samples without a mask"
                forbidden |= _unset(row.allowed)
            sampled.append(next_token(row.sampling.seed, tokens, forbidden, slot=row.slot))
            if sampled[-1] != guess:
                return sampled
            found = self._slots[self._slot(row, end)]
            assert found == (_marked(guess, row), end), "a guess has lost its place"
            tokens = [*tokens, guess]
        return sampled

    def _judge_prompt(self, chunk: Chunk, tokens: list[int]) -> tuple[np.ndarray, tuple[Top, ...]]:
        if chunk.prompt_logprobs is None:
            assert not chunk.next_ids
            return np.zeros(0, np.float32), ()
        row = self._rows[chunk.row]
        first = chunk.start + 1
        assert list(chunk.next_ids) == row.history[first : first + len(chunk.next_ids)]
        reach = min(chunk.start + chunk.length, row.prompt_length - 1) - chunk.start
        assert len(chunk.next_ids) == reach, "a next token for each of the prompt's but its last"
        ends = range(first, first + len(chunk.next_ids))
        logprobs = [
            logprob_of(tokens[:end], token_id)
            for end, token_id in zip(ends, chunk.next_ids, strict=True)
        ]
        tops = tuple(top_of(tokens[:end], chunk.prompt_logprobs) for end in ends)
        return np.array(logprobs, np.float32), tops
