"""Guesses at the next tokens of a request, for a step to verify several at once.

    known      the cat sat. the dog ran. the cat [sat. the dog ...
                   └── seen before ──────────┘└ guessed: what came after it then

A guess costs a line of the step and nothing else: sampling is keyed by (seed, position), so a step
samples at every guessed position the token that would have come there anyway, as long as the
guesses before it were right. The tokens are the same with and without, at any temperature.

Guesses come from the request's own text (`Ngrams`), or from a draft model on the device (`Drafts`),
which the host only tells for whom and how many.

A request whose guesses are wrong is left alone for a while, each time twice as long. Requests with
penalties are never guessed for (what is penalized changes with each token of the guess), nor those
that want logprobs, nor guided ones: what a grammar forces is no guess.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from radixloom_runtime.scheduler.guide import counts_tokens
from radixloom_runtime.wire.messages import Submit
from radixloom_runtime.wire.plan import DRAFTED

NGRAM = "ngram"
LONGEST_MATCH = 3
SHORTEST_MATCH = 2
DEFAULT_GUESSES = 4
READ_AT_ONCE = 512
"""Tokens of a prompt that one guess reads: a third of a millisecond."""
_LONGEST_PAUSE = 64
"""Tokens that a request is left alone for, at most."""


class Guesser(Protocol):
    """Where guesses come from."""

    def guess(self, token_ids: list[int], count: int) -> list[int]:
        """Guess the next `count` tokens, or fewer, of a request that begins with `token_ids`."""
        ...


class Ngrams:
    """Finds where the last few tokens came before.

        tokens   [ not read yet | read: num_unread ... num_read | the last ]

    New tokens are read as they come. Of what was there before, a long prompt, each guess reads a
    piece, from its end backwards: so no step waits for all of it, and the nearest is known first.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}
        """N-gram → how many tokens there are up to its latest end, the very last one excepted."""
        self._num_unread: int | None = None
        """Leading tokens; None before the first guess."""
        self._num_read = 0

    def guess(self, token_ids: list[int], count: int) -> list[int]:
        """Repeat what came after the latest occurrence of the last n-gram, the longest first."""
        self._read_new(token_ids)
        self._read_back(token_ids)
        for size in range(LONGEST_MATCH, SHORTEST_MATCH - 1, -1):
            end = self._ends.get(tuple(token_ids[-size:]))
            if end is not None:
                period = len(token_ids) - end  # a loop shorter than `count` goes round
                return [token_ids[end + index % period] for index in range(count)]
        return []

    def _read_new(self, token_ids: list[int]) -> None:
        if self._num_unread is None:
            self._num_unread = self._num_read = len(token_ids)
        for end in range(self._num_read, len(token_ids)):
            for size in range(SHORTEST_MATCH, min(LONGEST_MATCH, end) + 1):
                self._ends[tuple(token_ids[end - size : end])] = end
        self._num_read = len(token_ids)

    def _read_back(self, token_ids: list[int]) -> None:
        last = self._num_unread or 0
        first = max(0, last - READ_AT_ONCE)
        for end in range(last - 1, max(first, SHORTEST_MATCH) - 1, -1):
            for size in range(SHORTEST_MATCH, min(LONGEST_MATCH, end) + 1):
                self._ends.setdefault(tuple(token_ids[end - size : end]), end)
        self._num_unread = first


class Drafts:
    """Leaves guessing to the draft model: any number, at any time, of tokens nobody knows here."""

    def guess(self, token_ids: list[int], count: int) -> list[int]:  # noqa: ARG002 - on the device
        """Stand in for each guess."""
        return [DRAFTED] * count


@dataclass(slots=True)
class Hunches:
    """What is remembered of one running request's guesses."""

    guesser: Guesser
    pause: int = 0
    """Tokens for which nothing is guessed."""
    next_pause: int = 1


@dataclass(slots=True)
class Speculation:
    """How many tokens are guessed, and how well it goes."""

    most: int
    """Guesses at a time."""
    make_guesser: Callable[[], Guesser] = Ngrams
    num_guessed: int = 0
    num_right: int = 0

    def hunches_for(self, submit: Submit) -> Hunches | None:
        """Begin to guess for a request; None where it may not be done."""
        if counts_tokens(submit) or submit.logprobs is not None or submit.grammar:
            return None
        return Hunches(self.make_guesser())

    def guess(
        self, hunches: Hunches, token_ids: list[int], num_unknown: int, room: int
    ) -> tuple[int, ...]:
        """Guess the tokens after the one to be computed next, at most `room`.

        `num_unknown` of the tokens before those are not known yet either: they are guessed along.
        """
        if hunches.pause > 0:
            hunches.pause -= 1
            return ()
        count = min(self.most, room)
        guessed = hunches.guesser.guess(token_ids, num_unknown + count)
        return tuple(guessed[num_unknown:])

    def judge(self, hunches: Hunches, *, num_guessed: int, num_right: int) -> None:
        """Learn how many guesses were right, up to the first wrong one."""
        self.num_guessed += num_guessed
        self.num_right += num_right
        if 2 * num_right >= num_guessed:
            hunches.next_pause = 1
            return
        hunches.pause = hunches.next_pause
        hunches.next_pause = min(2 * hunches.next_pause, _LONGEST_PAUSE)


def parse(text: str) -> Speculation:
    """Read the setting `ngram[:k]` or `draft[:k]`, checked by its pattern before."""
    kind, _, count = text.partition(":")
    make_guesser = Ngrams if kind == NGRAM else Drafts
    return Speculation(int(count) if count else DEFAULT_GUESSES, make_guesser)
