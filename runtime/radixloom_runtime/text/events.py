"""What an answer consists of, as it is told piece by piece.

The texts of events of one kind, joined, are the whole: they do not depend on how the answer was
cut into pieces, though the number of events does.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """Words for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before it spoke."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """The model calls a tool; its arguments follow."""

    index: int
    """Of the calls of one answer, from 0."""
    name: str
    call_id: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of a call's arguments, which are JSON once they are joined.

    What a model was cut off in the middle of stays cut off.
    """

    index: int
    text: str


Event = Content | Reasoning | CallStart | CallArguments
