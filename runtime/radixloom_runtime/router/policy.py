"""Which leader a request goes to. Pure: leaders' loads and matches in, a choice out.

1. *Open* is a leader whose load is below `bound`: the mean load, this request included, times
   `load_factor`, but at least `load_slack`. One always is.
2. A prompt's *home* is the first open leader in the order of rendezvous hashing: the same for every
   turn of a conversation and for every router, and moved for few when leaders come and go.
3. Where another open leader holds at least `least_gain` blocks more of the prompt than its home,
   the request goes there instead: to the longest match, of equal ones to the least load.
4. Without a prompt, it goes to the least load.

Hence a long document is computed once and not by every leader, while a short system prompt that all
conversations share does not draw them all to one leader. No match overloads a leader.
Sources: Thaler & Ravishankar 1998 (rendezvous hashing); Mirrokni et al. 2018, "Consistent hashing
with bounded loads".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the rule above."""

    load_factor: float = 1.25
    load_slack: int = 4
    least_gain: int = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready leader, and what is known of it."""

    name: str
    load: int
    """Requests that run or wait there, whoever sent them."""
    matched: int = 0
    """Blocks of the prompt that it probably holds."""


class Reason(StrEnum):
    """Why a leader was chosen."""

    PREFIX = "prefix"
    """It holds more of the prompt than its home does."""
    HOME = "home"
    OVERFLOW = "overflow"
    """The home is full; this is the next in its order."""
    LEAST_LOAD = "least_load"
    TURN = "turn"
    """Leaders take turns (`--policy round-robin`)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen leader, what it holds of the prompt, and why it was chosen."""

    name: str
    matched: int
    reason: Reason


def choose(candidates: Sequence[Candidate], home: bytes, rules: Rules) -> Choice:
    """Choose one of `candidates`, which are not empty; `home` is the conversation's key."""
    if not home:
        least = min(candidates, key=lambda each: (each.load, each.name))
        return Choice(least.name, least.matched, Reason.LEAST_LOAD)
    limit = bound(candidates, rules)
    ranked = sorted(candidates, key=lambda each: weight(home, each.name), reverse=True)
    is_open = [each for each in ranked if each.load < limit]
    first = is_open[0]
    best = max(is_open, key=lambda each: (each.matched, -each.load))  # of equal ones the first
    if best.matched - first.matched >= rules.least_gain:
        return Choice(best.name, best.matched, Reason.PREFIX)
    reason = Reason.HOME if first is ranked[0] else Reason.OVERFLOW
    return Choice(first.name, first.matched, reason)


def in_turn(candidates: Sequence[Candidate], number: int) -> Choice:
    """Choose regardless of anything, for comparisons: request `number` of all."""
    ordered = sorted(candidates, key=lambda each: each.name)
    chosen = ordered[number % len(ordered)]
    return Choice(chosen.name, chosen.matched, Reason.TURN)


def bound(candidates: Sequence[Candidate], rules: Rules) -> int:
    """Return the load from which a leader takes no request while others have less."""
    mean = (sum(each.load for each in candidates) + 1) / len(candidates)
    return max(rules.load_slack, math.ceil(rules.load_factor * mean))


def weight(home: bytes, name: str) -> bytes:
    """Weigh a leader for a key: the order of weights is the key's order of leaders."""
    return blake2b(name.encode(), key=home, digest_size=8).digest()
