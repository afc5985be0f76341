"""What the endpoints do differently when they tell an answer.

`ChatForm`, `CompletionForm` and `GenerateForm` implement this; `answering` drives each.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from radixloom_runtime.server.generation import Choice, ChoiceDelta
from radixloom_runtime.server.replies import Usage


class Form(Protocol):
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

    def reply(
        self, answers: Sequence[ChoiceDelta], usage: Usage
    ) -> msgspec.Struct | list[msgspec.Struct]:
        """Return the whole answer; each choice is one delta that holds all of it."""
        ...
