"""A step's input: one int32 vector a group, packed by the host and unpacked inside the jitted step.

    header | chunk lines | token ids | start lines | grant lines
    mixed also: next ids | bounds of what is pooled | ids to score

One transfer a step, whatever changed. Rows and pages are a group's own here, counted from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Int

from radixloom_runtime.runner.buckets import Bucket
from radixloom_runtime.runner.rows import GRANT_WIDTH, START_WIDTH, Changes
from radixloom_runtime.wire.plan import DRAFTED, MAX_SCORED, Chunk, Int32s

FROM_DEVICE = -1
"""Token id that stands for the row's last sampled token."""
FIRST_GUESS = -2
"""Token id that stands for the first of the row's guesses; -3 for the second, and so on."""

_HEADER = 5
_WANTS = slice(3, 5)
"""What of the header is a wish."""
_CHUNK_LINES = 6
FAR = np.iinfo(np.int32).max
"""A row, offset or index that nothing has: padding that scatters drop."""

_STARTS_IN_STEP = 4


class Header(NamedTuple):
    """Scalars of a step."""

    num_decodes: Int[Array, ""]
    num_chunks: Int[Array, ""]
    num_tokens: Int[Array, ""]
    wants_logprobs: Int[Array, ""]
    num_prompt_logprobs: Int[Array, ""]
    """Leading tokens whose next token's logprob is wanted; 0: nobody asked."""


class StepArrays(NamedTuple):
    """The unpacked vector."""

    header: Header
    rows: Int[Array, " R"]
    starts: Int[Array, " R"]
    lengths: Int[Array, " R"]
    offsets: Int[Array, " R"]
    sample_rows: Int[Array, " R"]
    """Row whose next token is sampled from a chunk's last token; the scratch row for none."""
    follows: Int[Array, " R"]
    """1: the line is a guess for the token that the line before it samples."""
    token_ids: Int[Array, " T"]
    next_ids: Int[Array, " N"]
    """Length T in mixed buckets, 0 in others; so the next two, of R lines."""
    pooled: Int[Array, "M 2"]
    """From and up to which of a chunk's tokens the hidden states are summed up."""
    scored_ids: Int[Array, "M 2"]
    """Tokens whose logits after a chunk's last one are wanted; any where none are."""
    changes: Changes


@dataclass(frozen=True)
class StepLayout:
    """Where everything lies in the vector of one bucket."""

    bucket: Bucket
    page_tokens: int
    max_rows: int

    @cached_property
    def max_starts(self) -> int:
        """Row starts that fit in a step."""
        return min(self.bucket.rows, _STARTS_IN_STEP)

    @cached_property
    def max_grants(self) -> int:
        """Pages granted that fit in a step: of its own tokens, and one ahead for each row."""
        return self.bucket.tokens // self.page_tokens + 2 * self.bucket.rows

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        b = self.bucket
        return (
            _HEADER,
            *(b.rows,) * _CHUNK_LINES,
            b.tokens,
            self.max_starts * START_WIDTH,
            self.max_grants * GRANT_WIDTH,
            *((b.tokens, 2 * b.rows, MAX_SCORED * b.rows) if b.mixed else (0, 0, 0)),
        )

    @cached_property
    def _bounds(self) -> tuple[int, ...]:
        return (0, *np.cumsum(self._sizes).tolist())

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self._bounds[-1]

    def _parts(self, vector: Any) -> list[Any]:
        bounds = self._bounds
        return [vector[bounds[i] : bounds[i + 1]] for i in range(len(bounds) - 1)]

    def unpack(self, vector: Int[Array, " X"]) -> StepArrays:
        """Name the parts; inside jit."""
        header, rows, starts, lengths, offsets, sample_rows, follows, *rest = self._parts(vector)
        token_ids, begun, granted, next_ids, pooled, scored_ids = rest
        return StepArrays(
            header=Header(*header),
            rows=rows,
            starts=starts,
            lengths=lengths,
            offsets=offsets,
            sample_rows=sample_rows,
            follows=follows,
            token_ids=token_ids,
            next_ids=next_ids,
            pooled=pooled.reshape(-1, 2),
            scored_ids=scored_ids.reshape(-1, MAX_SCORED),
            changes=Changes(begun.reshape(-1, START_WIDTH), granted.reshape(-1, GRANT_WIDTH)),
        )

    def pack(
        self,
        chunks: Sequence[Chunk],
        starts: Int32s,
        grants: Int32s,
        *,
        num_decodes: int,
        first_row: int,
    ) -> Int32s:
        """Make a group's vector of a step; `chunks` with decodes first, changes that fit.

        A guess is a line like a decode, so that it needs neither a bucket nor a kernel of its own.
        """
        vector = np.zeros(self.size, np.int32)
        header, rows, first, lengths, offsets, sample_rows, follows, *rest = self._parts(vector)
        ids, begun, granted, *wishes = rest
        prompts = chunks[num_decodes:]
        rows.fill(self.max_rows)
        sample_rows.fill(self.max_rows)
        offsets.fill(FAR)
        begun.fill(FAR)
        granted.fill(FAR)
        begun[: starts.size] = starts.ravel()
        granted[: grants.size] = grants.ravel()
        used = i = 0
        for chunk in chunks:
            length = len(chunk.token_ids) or 1
            row = chunk.row - first_row
            rows[i], first[i], lengths[i], offsets[i] = row, chunk.start, length, used
            if chunk.samples:
                sample_rows[i] = row
            ids[used : used + length] = chunk.token_ids or FROM_DEVICE
            i += 1
            if chunk.guessed_ids:
                count = len(chunk.guessed_ids)
                lines, places = slice(i, i + count), slice(used + 1, used + 1 + count)
                rows[lines] = sample_rows[lines] = row
                first[lines] = range(chunk.start + 1, chunk.start + 1 + count)
                offsets[lines] = range(places.start, places.stop)
                lengths[lines] = follows[lines] = 1
                is_drafted = DRAFTED in chunk.guessed_ids
                ids[places] = FIRST_GUESS - np.arange(count) if is_drafted else chunk.guessed_ids
                i += count
                num_decodes += count
                length += count
            used += length
        wants_logprobs = any(chunk.top_logprobs is not None for chunk in chunks)
        num_next = _pack_wishes(prompts, num_decodes, offsets, *wishes)
        header[:] = num_decodes, i, used, wants_logprobs, num_next
        return vector

    @staticmethod
    def join(vectors: Sequence[Int32s]) -> Int32s:
        """Stack the groups' vectors [g, X].

        Devices of all groups go the same way through what is done only if somebody asked: there
        they may have to tell each other something.
        """
        joined = np.stack(vectors)
        if len(vectors) > 1:
            joined[:, _WANTS] = joined[:, _WANTS].max(axis=0)
        return joined


def _pack_wishes(
    prompts: Sequence[Chunk],
    first_line: int,
    offsets: Int32s,
    next_ids: Int32s,
    pooled: Int32s,
    scored_ids: Int32s,
) -> int:
    """Write what prompt chunks want beside tokens; return in how many tokens `next_ids` lie."""
    wanted = 0
    for line, chunk in enumerate(prompts, first_line):
        first_score = MAX_SCORED * line
        pooled[2 * line : 2 * line + 2] = chunk.pooled
        scored_ids[first_score : first_score + len(chunk.scored_ids)] = chunk.scored_ids
        if chunk.next_ids:
            first = int(offsets[line])
            next_ids[first : first + len(chunk.next_ids)] = chunk.next_ids
            wanted = first + chunk.length
    return wanted


def padded_changes(
    changes: Sequence[tuple[Int32s, Int32s]], num_starts: int, num_grants: int
) -> Changes:
    """Fill each group's starts and grants up to a fixed number of lines, and stack them."""
    all_starts = np.full((len(changes), num_starts, START_WIDTH), FAR, np.int32)
    all_grants = np.full((len(changes), num_grants, GRANT_WIDTH), FAR, np.int32)
    for group, (starts, grants) in enumerate(changes):
        all_starts[group, : len(starts)] = starts
        all_grants[group, : len(grants)] = grants
    return Changes(all_starts, all_grants)  # pyright: ignore[reportArgumentType] - numpy goes in
