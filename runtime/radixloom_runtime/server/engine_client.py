"""The server's side of the talk with the engine, in one asyncio loop.

    handlers ── submit, abort ──► outbox ── one frame ──► engine
    handlers ◄──── inbox per HTTP request ◄── receiver ◄── engine

Handlers never touch the socket: what several of them say in one turn of the loop leaves in one
frame. A request is forgotten with its last Output, its Rejected or TimedOut, or its Abort,
whichever is first; what comes for it later is dropped.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from radixloom_runtime.server.inbox import EngineLost, Inbox
from radixloom_runtime.wire.channels import ServerChannel
from radixloom_runtime.wire.messages import (
    Abort,
    CacheChanged,
    CacheLook,
    Done,
    Drain,
    EngineMessage,
    Failed,
    Followers,
    Output,
    Question,
    Ready,
    Rejected,
    Resume,
    ServerMessage,
    Starting,
    StateMessage,
    Stats,
    StopWanted,
    Submit,
    TimedOut,
    Unpin,
)

Reply = CacheChanged | CacheLook | Done | Rejected | TimedOut | EngineLost
"""To a question."""


class EngineClient:
    """Sends requests to the engine and hands its answers to their handlers."""

    def __init__(self, channel: ServerChannel, *, on_state: Callable[[StateMessage], None]) -> None:
        """`on_state` is told what the engine says of itself."""
        self._channel = channel
        self._on_state = on_state
        self._inboxes: dict[str, Inbox] = {}
        self._outbox: list[ServerMessage] = []
        self._has_outgoing = asyncio.Event()
        self._lost: EngineLost | None = None
        self._replies: dict[str, asyncio.Future[Reply]] = {}

    @property
    def num_open(self) -> int:
        """Choices that the engine was given and has not ended."""
        return len(self._inboxes)

    async def run(self) -> None:
        """Talk until cancelled. Raises: `WireError` on a frame that cannot be read."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send())
            group.create_task(self._receive())

    def submit(self, submits: Sequence[Submit], inbox: Inbox) -> None:
        """Send requests whose answers go to `inbox`."""
        if self._lost is not None:
            inbox.put(self._lost)
            return
        for submit in submits:
            self._inboxes[submit.request_id] = inbox
        self._say(*submits)

    def abort(self, request_ids: Iterable[str]) -> None:
        """Forget those of the requests that are still open, here and in the engine."""
        open_ids = [name for name in request_ids if self._inboxes.pop(name, None) is not None]
        self._say(*map(Abort, open_ids))

    async def ask(self, message: Question) -> Reply:
        """Send a question, with an id of its own, and wait for its answer."""
        if self._lost is not None:
            return self._lost
        reply = asyncio.get_running_loop().create_future()
        self._replies[message.request_id] = reply
        self._say(message)
        try:
            return await reply
        finally:
            del self._replies[message.request_id]

    def tell(self, message: Unpin | Resume) -> None:
        """Send a question whose answer is of no interest."""
        self._say(message)

    def drain(self) -> None:
        """Ask the engine to finish and exit."""
        self._say(Drain())

    def lose(self, message: str) -> None:
        """Tell every open and future request that the engine is gone."""
        self._lost = EngineLost(message)
        inboxes = {id(inbox): inbox for inbox in self._inboxes.values()}
        self._inboxes.clear()
        for inbox in inboxes.values():
            inbox.put(self._lost)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_result(self._lost)

    def _say(self, *messages: ServerMessage) -> None:
        if messages:
            self._outbox.extend(messages)
            self._has_outgoing.set()

    async def _send(self) -> None:
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            messages, self._outbox = self._outbox, []
            await self._channel.send(*messages)

    async def _receive(self) -> None:
        while True:
            for message in await self._channel.receive():
                self._dispatch(message)

    def _dispatch(self, message: EngineMessage) -> None:
        match message:
            case Output():
                self._hand_over(message, is_last=message.finish_reason is not None)
            case CacheChanged() | CacheLook() | Done():
                self._reply(message)
            case Rejected() | TimedOut() if message.request_id in self._replies:
                self._reply(message)
            case Rejected() | TimedOut():
                self._hand_over(message, is_last=True)
            case Starting() | Ready() | Stats() | Followers() | StopWanted() | Failed():
                self._on_state(message)

    def _reply(self, message: CacheChanged | CacheLook | Done | Rejected | TimedOut) -> None:
        reply = self._replies.get(message.request_id)
        if reply is not None and not reply.done():
            reply.set_result(message)

    def _hand_over(self, message: Output | Rejected | TimedOut, *, is_last: bool) -> None:
        inbox = self._inboxes.get(message.request_id)
        if inbox is None:  # aborted while this was on its way
            return
        if is_last:
            del self._inboxes[message.request_id]
        inbox.put(message)
