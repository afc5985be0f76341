"""What the endpoints do differently when they tell an answer.

`ChatForm`, `CompletionForm` and `GenerateForm` implement `Form`; `answering` drives each. Where the
events of a stream have names, `event_stream` drives an `EventForm`.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.generation import Choice, ChoiceDelta
from radixloom_runtime.server.replies import Usage


class ReplyForm(Protocol):
    """Turns whole answers into the struct of one endpoint."""

    def reply(
        self, answers: Sequence[ChoiceDelta], usage: Usage
    ) -> msgspec.Struct | list[msgspec.Struct]:
        """Return the whole answer; each choice is one delta that holds all of it."""
        ...


class Form(ReplyForm, Protocol):
    """Turns deltas of choices into the structs of one endpoint."""

    def opening(self, choices: Sequence[Choice]) -> list[msgspec.Struct]:
        """Return the chunks before any token."""
        ...

    def chunk(self, delta: ChoiceDelta) -> msgspec.Struct | None:
        """Return the chunk of a delta, or None where there is nothing to tell."""
        ...

    def usage_chunk(self, usage: Usage) -> msgspec.Struct:
        """Return the chunk that ends a stream with `include_usage`."""
        ...


class EventForm(ReplyForm, Protocol):
    """Turns the one choice of a request into events that are told by name.

    An event's name is the tag of its struct.
    """

    def opening(self, choice: Choice) -> list[msgspec.Struct]:
        """Return the events before any token."""
        ...

    def events(self, delta: ChoiceDelta) -> list[msgspec.Struct]:
        """Return the events of a delta."""
        ...

    def closing(self, usage: Usage) -> list[msgspec.Struct]:
        """Return the events after the last token."""
        ...

    def broken_off(self, error: RequestError) -> list[msgspec.Struct]:
        """Return the events that tell why nothing more comes."""
        ...

    def waiting(self) -> list[msgspec.Struct]:
        """Return the events that keep a silent connection open."""
        ...
