"""Items that grow while the answer comes: what each tells at its beginning, middle and end."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

from radixloom_runtime.server.responses import events
from radixloom_runtime.server.responses.events import Event
from radixloom_runtime.server.responses.replies import (
    FunctionCall,
    Item,
    ItemStatus,
    Message,
    OutputText,
    Reasoning,
    ReasoningText,
)


class OpenItem(Protocol):
    """An item of which some is known."""

    def item(self, status: ItemStatus) -> Item:
        """Return it as it is so far."""
        ...

    def begin(self) -> Iterator[Event]:
        """Tell that there is one."""
        ...

    def grow(self, text: str) -> Event:
        """Add to its text, and tell what was added."""
        ...

    def end(self) -> Iterator[Event]:
        """Tell all of its text; `ItemDone` is the caller's."""
        ...


@dataclass(slots=True)
class OpenMessage(OpenItem):
    """Words."""

    id: str
    index: int
    """Among the items of the answer."""
    text: str = ""

    @override
    def item(self, status: ItemStatus) -> Message:
        return Message(self.id, status, [OutputText(self.text)] if self.text else [])

    @override
    def begin(self) -> Iterator[Event]:
        yield events.PartAdded(item_id=self.id, output_index=self.index, part=OutputText(""))

    @override
    def grow(self, text: str) -> Event:
        self.text += text
        return events.TextDelta(item_id=self.id, output_index=self.index, delta=text)

    @override
    def end(self) -> Iterator[Event]:
        yield events.TextDone(item_id=self.id, output_index=self.index, text=self.text)
        part = OutputText(self.text)
        yield events.PartDone(item_id=self.id, output_index=self.index, part=part)


@dataclass(slots=True)
class OpenReasoning(OpenItem):
    """Thoughts."""

    id: str
    index: int
    text: str = ""

    @override
    def item(self, status: ItemStatus) -> Reasoning:
        return Reasoning(self.id, status, [ReasoningText(self.text)] if self.text else [])

    @override
    def begin(self) -> Iterator[Event]:
        yield events.PartAdded(item_id=self.id, output_index=self.index, part=ReasoningText(""))

    @override
    def grow(self, text: str) -> Event:
        self.text += text
        return events.ReasoningDelta(item_id=self.id, output_index=self.index, delta=text)

    @override
    def end(self) -> Iterator[Event]:
        yield events.ReasoningDone(item_id=self.id, output_index=self.index, text=self.text)
        part = ReasoningText(self.text)
        yield events.PartDone(item_id=self.id, output_index=self.index, part=part)


@dataclass(slots=True)
class OpenCall(OpenItem):
    """A call, of which the name is known at once."""

    id: str
    index: int
    call_id: str
    name: str
    arguments: str = ""

    @override
    def item(self, status: ItemStatus) -> FunctionCall:
        return FunctionCall(self.id, status, self.call_id, self.name, self.arguments)

    @override
    def begin(self) -> Iterator[Event]:
        yield from ()

    @override
    def grow(self, text: str) -> Event:
        self.arguments += text
        return events.ArgumentsDelta(item_id=self.id, output_index=self.index, delta=text)

    @override
    def end(self) -> Iterator[Event]:
        yield events.ArgumentsDone(
            item_id=self.id, output_index=self.index, name=self.name, arguments=self.arguments
        )


def new_id(prefix: str) -> str:
    """Return an id that tells what it is of."""
    return f"{prefix}_{secrets.token_hex(12)}"
