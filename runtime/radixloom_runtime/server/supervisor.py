"""The life of the server process: starts the engine, watches it, drains, decides the exit code.

starting ── engine Ready and tokenizer loaded ──► serving
    │ tokenizer broken: its error                    │ stop(): drain, exit 0
    └──────────────── engine gone: exit 2 where the user can mend it, else 1

On a follower of a slice there is no tokenizer, and its leader decides when it ends: told to stop,
it asks the leader to drain, and an engine that ends with 0 was drained.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from radixloom_runtime import __version__
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.metrics import Metrics
from radixloom_runtime.runner import machine
from radixloom_runtime.server import catalog, keys, tracing
from radixloom_runtime.server.engine_client import EngineClient, StateMessage
from radixloom_runtime.server.engine_counters import EngineCounters
from radixloom_runtime.server.engine_process import EngineProcess
from radixloom_runtime.server.lifecycle import Lifecycle
from radixloom_runtime.server.service import Service
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire import channels
from radixloom_runtime.wire.messages import (
    Failed,
    Followers,
    Ready,
    Resume,
    Starting,
    Stats,
    StopWanted,
)

Launch = Callable[[str, RuntimeSettings], tuple[Sequence[str], Mapping[str, str]]]
"""Channel address and settings to the engine's argument list and environment."""

SILENCE_SECONDS = 6.0
"""Without the engine's pulse, while it serves; the exit included, under the ten of a slice."""
STARTING_SILENCE_SECONDS = 300.0
"""Before: loading a library or copying a large tensor may hold the interpreter for long."""
ENGINE_GRACE_SECONDS = 5.0
"""For the engine to exit once it has nothing left to do."""
LAST_FRAME_SECONDS = 0.2
"""After the engine's end, for what it still said to be read."""
LAST_ANSWERS_SECONDS = 1.0
"""For error answers to leave, and probes to see that the process is broken."""
PROGRESS_LOG_SECONDS = 5.0
EXIT_CONFIGURATION = 2

log = structlog.get_logger()


class Supervisor:
    """Owns the channel, the engine process and the state that the endpoints show."""

    def __init__(self, settings: RuntimeSettings, launch: Launch, folder: Path, url: str) -> None:
        """`folder` is private to this user, for the engine's socket; `url` is for the log."""
        self._settings = settings
        self._launch = launch
        self._url = url
        self._address = channels.address_in(folder)
        self._channel = channels.ServerChannel(self._address)
        self._was_told_to_stop = False
        self._stop_requested = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._started_at = time.monotonic()
        self._told_phase = ""
        self._told_at = 0.0
        self._stood_still: str | None = None
        self._metrics = Metrics()
        self._counters = EngineCounters(self._metrics)
        self._lifecycle = Lifecycle(rank=settings.rank)
        self._engine = EngineClient(self._channel, on_state=self._on_state)
        self.service = Service(
            self._engine,
            self._lifecycle,
            self._metrics,
            settings.request_timeout,
            keys.load(settings),
            settings.max_body_bytes,
            settings.console,
            tracing=tracing.load(settings.otlp_endpoint),
        )

    def stop(self) -> None:
        """Begin to drain; asked again, stop at once."""
        if self._was_told_to_stop:
            self._stop_now.set()
        self._was_told_to_stop = True
        self._stop_requested.set()

    async def run(self) -> int:
        """Serve to the end and return the process's exit code.

        Raises: `ConfigurationError` when the engine or the tokenizer cannot serve this model.
        """
        process = await EngineProcess.start(*self._launch(self._address, self._settings))
        self._metrics.engine_up.set(1)
        talking = asyncio.create_task(self._engine.run())
        loading = asyncio.create_task(self._load_model())
        stopping = asyncio.create_task(self._stop_requested.wait())
        ending = asyncio.create_task(process.wait())
        watching = asyncio.create_task(self._watch(process))
        try:
            await _first_of(loading, talking, stopping, ending, watching)
            if loading.done():
                loading.result()
            await _first_of(talking, stopping, ending, watching)
            if stopping.done():
                return await self._drain(process, ending)
            return await self._engine_is_gone(talking, ending)
        finally:
            await process.kill()
            tasks = talking, loading, stopping, ending, watching
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            process.close()
            self._channel.close()

    @property
    def _is_ready(self) -> bool:
        return self._lifecycle.is_started

    async def _watch(self, process: EngineProcess) -> None:
        """End an engine that stands still as a whole, and so cannot end itself."""
        seconds = await process.stands_still(
            lambda: SILENCE_SECONDS if self._lifecycle.ready else STARTING_SILENCE_SECONDS
        )
        self._stood_still = (
            f"the engine's process stood still for {seconds:.0f} s (stopped by a signal, swapped"
            " out, or held by a lock) and was killed"
        )
        await process.kill()

    async def _load_model(self) -> None:
        if self._lifecycle.follows:
            return
        folder, name = self._settings.model, self._settings.served_model_name
        if folder is None or name is None:
            raise ConfigurationError("the model was not located before the server's start")
        self._lifecycle.model = await asyncio.to_thread(
            catalog.load,
            folder,
            name,
            tool_call_parser=self._settings.tool_call_parser,
            reasoning_parser=self._settings.reasoning_parser,
            takes_templates=self._settings.request_chat_template,
            adapters=self._settings.adapters,
        )
        machine.give_back_freed_memory()
        self._announce()

    def _on_state(self, message: StateMessage) -> None:
        self._lifecycle.hear(message)
        match message:
            case Stats():
                self._counters.update(message)
            case Ready():
                self._announce()
            case Starting():
                self._tell_progress(message)
            case StopWanted(reason):
                log.info("server.stop_wanted", reason=reason)
                self._stop_requested.set()
            case Followers() | Failed():
                pass  # told with the engine's end, which follows

    def _tell_progress(self, progress: Starting) -> None:
        """Log each new phase, and a long one every few seconds."""
        now = time.monotonic()
        if progress.phase == self._told_phase and now - self._told_at < PROGRESS_LOG_SECONDS:
            return
        self._told_phase, self._told_at = progress.phase, now
        log.info(
            "server.starting",
            phase=progress.phase,
            done=f"{progress.done:,.0f} of {progress.total:,.0f} {progress.unit}",
            seconds=round(progress.seconds, 1),
        )

    def _announce(self) -> None:
        """Once both halves are there: say where, and what was decided."""
        serving = self._lifecycle.serving
        if serving is None:
            if self._lifecycle.is_started:
                log.info("server.following", rank=self._lifecycle.rank, url=self._url)
            return
        limits = serving.limits
        for phase, seconds in limits.start_seconds.items():
            self._metrics.start_seconds.labels(phase).set(seconds)
        self._metrics.compile_cache_hits.set(limits.compile_cache_hits)
        self._metrics.build_info.labels(
            __version__, serving.model.name, limits.dtype, limits.device
        ).set(1)
        log.info(
            "server.ready",
            url=self._url,
            model=serving.model.name,
            dtype=limits.dtype,
            kv_cache_dtype=limits.kv_cache_dtype,
            device=limits.device,
            max_model_len=limits.max_model_len,
            kv_cache_tokens=limits.kv_cache_tokens,
            page_tokens=limits.page_tokens,
            max_running_requests=limits.max_running_requests,
            buckets=f"{limits.num_buckets} ({limits.compile_cache_hits} from cache)",
            seconds=round(time.monotonic() - self._started_at, 2),
        )

    async def _drain(self, process: EngineProcess, ending: "asyncio.Task[int]") -> int:
        """Refuse new requests, let running ones finish, end the engine."""
        self._lifecycle.draining = True
        log.info("server.draining", in_flight=self._lifecycle.in_flight)
        if self._lifecycle.follows:
            return await self._leave(process)
        if self._is_ready:
            self._engine.tell(Resume(request_id="drain"))  # if paused, requests wait for it
            await self._until_idle(ending)
        left = self._lifecycle.in_flight
        if left:
            log.warning("server.drain_incomplete", in_flight=left)
            self._engine.lose("the server was told to stop")
            await self._lifecycle.wait_idle(LAST_ANSWERS_SECONDS)
        elif self._is_ready and not ending.done():
            self._engine.drain()
            await process.exits_within(ENGINE_GRACE_SECONDS)
        log.info("server.stopped")
        return 0

    async def _leave(self, process: EngineProcess) -> int:
        """Have the slice drained by its leader, which then ends our engine."""
        if self._is_ready:
            self._engine.drain()
            if not await process.exits_within(self._settings.drain_seconds + ENGINE_GRACE_SECONDS):
                log.warning("server.drain_incomplete", rank=self._lifecycle.rank)
        log.info("server.stopped")
        return 0

    async def _until_idle(self, ending: "asyncio.Task[int]") -> None:
        """Wait for running requests, a second signal, or the engine's end."""
        idle = asyncio.create_task(self._lifecycle.wait_idle(self._settings.drain_seconds))
        now = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait((idle, now, ending), return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        now.cancel()

    async def _engine_is_gone(
        self, talking: "asyncio.Task[None]", ending: "asyncio.Task[int]"
    ) -> int:
        """Fail what runs and return the exit code. Raises: `ConfigurationError`."""
        await asyncio.wait((talking,), timeout=LAST_FRAME_SECONDS)
        if self._lifecycle.follows and ending.done() and ending.result() == 0:
            log.info("server.stopped", reason="the leader has drained the slice")
            return 0
        message = self._why_gone(talking, ending)
        self._lifecycle.engine_lost = message
        self._metrics.engine_up.set(0)
        self._engine.lose(message)
        failure = self._lifecycle.failure
        if failure is not None and failure.exit_code == EXIT_CONFIGURATION:
            raise ConfigurationError(failure.message)
        log.error("engine.lost", reason=message, in_flight=self._lifecycle.in_flight)
        await asyncio.sleep(LAST_ANSWERS_SECONDS)
        return 1

    def _why_gone(self, talking: "asyncio.Task[None]", ending: "asyncio.Task[int]") -> str:
        if self._stood_still is not None:
            return self._stood_still
        if self._lifecycle.failure is not None:
            return self._lifecycle.failure.message
        if talking.done() and (error := talking.exception()) is not None:
            causes = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
            return f"the talk with the engine broke off: {causes[0]}"
        code = ending.result() if ending.done() else None
        return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


async def _first_of(*tasks: "asyncio.Task[Any]") -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
