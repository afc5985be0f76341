"""Events of an answer as output items, one after another.

Reasoning*    Content*    CallStart CallArguments*    Content*
└ reasoning ┘ └ message ┘ └──── function_call ────┘   └ message ┘
"""

from collections.abc import Iterator, Sequence

from radixloom_runtime.server.responses import events as told
from radixloom_runtime.server.responses.open_items import (
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
    new_id,
)
from radixloom_runtime.server.responses.replies import Item, ItemStatus, Reasoning
from radixloom_runtime.text.events import CallArguments, CallStart, Content, Event
from radixloom_runtime.text.events import Reasoning as Thought


class ItemStream:
    """Begins and ends the items of one answer."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        """Those that have ended."""
        self._open: OpenItem | None = None

    @property
    def reasoning(self) -> str:
        """All that was thought."""
        thoughts = [item for item in self.items if isinstance(item, Reasoning)]
        return "".join(part.text for item in thoughts for part in item.content)

    def feed(self, events: Sequence[Event]) -> list[told.Event]:
        """Return what some more of the answer adds."""
        return [each for event in events for each in self._event(event)]

    def close(self, status: ItemStatus) -> list[told.Event]:
        """End the item that is open, if one is."""
        return list(self._close(status))

    def _event(self, event: Event) -> Iterator[told.Event]:
        match event:
            case Content(text):
                if not isinstance(self._open, OpenMessage):
                    yield from self._begin(OpenMessage(new_id("msg"), self._next_index))
            case Thought(text):
                if not isinstance(self._open, OpenReasoning):
                    yield from self._begin(OpenReasoning(new_id("rs"), self._next_index))
            case CallStart(_, name, call_id):
                text = ""
                call = OpenCall(new_id("fc"), self._next_index, call_id, name)
                yield from self._begin(call)
            case CallArguments(_, text):
                pass
        if text and self._open is not None:
            yield self._open.grow(text)

    @property
    def _next_index(self) -> int:
        return len(self.items) + (self._open is not None)

    def _begin(self, item: OpenItem) -> Iterator[told.Event]:
        index = self._next_index
        yield from self._close("completed")
        self._open = item
        yield told.ItemAdded(output_index=index, item=item.item("in_progress"))
        yield from item.begin()

    def _close(self, status: ItemStatus) -> Iterator[told.Event]:
        if self._open is None:
            return
        yield from self._open.end()
        item = self._open.item(status)
        yield told.ItemDone(output_index=len(self.items), item=item)
        self.items.append(item)
        self._open = None
