"""How a response is told, whole and in events."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from typing_extensions import override

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.form import EventForm
from radixloom_runtime.server.generation import ABORT, Choice, ChoiceDelta
from radixloom_runtime.server.order import Order
from radixloom_runtime.server.replies import Usage
from radixloom_runtime.server.responses import events
from radixloom_runtime.server.responses.events import Event
from radixloom_runtime.server.responses.item_stream import ItemStream
from radixloom_runtime.server.responses.open_items import new_id
from radixloom_runtime.server.responses.replies import (
    Failure,
    Incomplete,
    InputDetails,
    OutputDetails,
    Response,
    ResponseUsage,
)
from radixloom_runtime.server.responses.schema import ResponseRequest, TextConfig
from radixloom_runtime.server.schema_tools import NamedTool
from radixloom_runtime.text.pipeline import STOP

_STATUS = {STOP: "completed", "length": "incomplete", ABORT: "cancelled"}
_CODES = {429: "rate_limit_exceeded"}


class ResponseForm(EventForm):
    """A response."""

    def __init__(
        self,
        wanted: ResponseRequest,
        order: Order,
        *,
        count: Callable[[str], int],
        keep: Callable[[Response], None],
    ) -> None:
        """`count` says how many tokens a text is; `keep` is given the response at its end."""
        self._begun = _begun(wanted, order)
        self._reader = order.reading.open()
        self._items = ItemStream()
        self._count = count
        self._keep = keep
        self._numbers = itertools.count()
        self._finish_reason: str | None = None

    @override
    def opening(self, choice: Choice) -> list[msgspec.Struct]:
        begun = self._begun
        return self._numbered([events.Created(response=begun), events.InProgress(response=begun)])

    @override
    def events(self, delta: ChoiceDelta) -> list[msgspec.Struct]:
        told = self._items.feed(self._reader.feed(delta.text.text))
        if (reason := delta.text.finish_reason) is not None:
            self._finish_reason = reason
            told += self._items.feed(self._reader.finish())
            told += self._items.close("completed" if reason == STOP else "incomplete")
        return self._numbered(told)

    @override
    def closing(self, usage: Usage) -> list[msgspec.Struct]:
        response = self._ended(usage)
        is_whole = response.status == "completed"
        last = events.Completed if is_whole else events.CutShort
        return self._numbered([last(response=response)])

    @override
    def broken_off(self, error: RequestError) -> list[msgspec.Struct]:
        failure = Failure(_CODES.get(error.status, "server_error"), str(error))
        told = self._items.close("incomplete")
        response = msgspec.structs.replace(
            self._begun, status="failed", error=failure, output=self._items.items
        )
        return self._numbered([*told, events.Failed(response=response)])

    @override
    def waiting(self) -> list[msgspec.Struct]:
        return []

    @override
    def reply(self, answers: Sequence[ChoiceDelta], usage: Usage) -> msgspec.Struct:
        [answer] = answers
        self.events(answer)
        return self._ended(usage)

    def _ended(self, usage: Usage) -> Response:
        reason = self._finish_reason
        response = msgspec.structs.replace(
            self._begun,
            status=_STATUS.get(reason or "", "incomplete"),
            incomplete_details=Incomplete("max_output_tokens") if reason == "length" else None,
            output=self._items.items,
            usage=self._usage(usage),
        )
        self._keep(response)
        return response

    def _usage(self, usage: Usage) -> ResponseUsage:
        return ResponseUsage(
            usage.prompt_tokens,
            InputDetails(usage.prompt_tokens_details.cached_tokens),
            usage.completion_tokens,
            OutputDetails(self._count(self._items.reasoning)),
            usage.total_tokens,
        )

    def _numbered(self, told: Sequence[Event]) -> list[msgspec.Struct]:
        for event in told:
            event.sequence_number = next(self._numbers)
        return list(told)


def _begun(wanted: ResponseRequest, order: Order) -> Response:
    choice = wanted.tool_choice
    named: Any = choice
    if isinstance(choice, NamedTool):
        named = {"type": "function", "name": choice.name}
    return Response(
        id=new_id("resp"),
        created_at=int(time.time()),  # noqa: TID251 - a date in the answer
        status="in_progress",
        model=wanted.model,
        output=[],
        instructions=wanted.instructions,
        previous_response_id=wanted.previous_response_id,
        store=wanted.store is not False,
        max_output_tokens=wanted.max_output_tokens,
        temperature=order.sampling.temperature,
        top_p=order.sampling.top_p,
        tools=[tool.model_dump() for tool in wanted.tools or ()],
        tool_choice=named or "auto",
        parallel_tool_calls=wanted.parallel_tool_calls is not False,
        reasoning={"effort": wanted.reasoning and wanted.reasoning.effort, "summary": None},
        text={"format": _format_of(wanted.text)},
        metadata=wanted.metadata or {},
        user=wanted.user,
    )


def _format_of(text: TextConfig | None) -> dict[str, Any]:
    """Tell the wanted format again, as the client wrote it."""
    if text is None or text.format is None:
        return {"type": "text"}
    return text.format.model_dump(by_alias=True, exclude_unset=True)
