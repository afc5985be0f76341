"""The engine process from its first line to its exit code.

    connect, watch the parent ──► build the runner (Starting ...) ──► Ready ──► loop ──► exit 0
                  └───────── anything wrong: log it, Failed, exit 1, or 2 where the user can mend it

On several hosts `hosts/` comes before and after the building: rank 0 gathers the others and waits
until they are warm; they join, and run its plans in the place of a loop of their own.

SIGTERM and SIGINT are ignored: a Ctrl-C in a terminal reaches both processes, and only the server
knows whether requests should be finished first. It sends Drain, or kills.
"""

import argparse
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Protocol

import structlog

from radixloom_runtime import capacity, logs
from radixloom_runtime.engine.controls import Controls
from radixloom_runtime.engine.guides import Guides, vocabulary_of
from radixloom_runtime.engine.hosts.farewell import Peers, farewell
from radixloom_runtime.engine.hosts.follow import PlanLoop
from radixloom_runtime.engine.hosts.follower import Follower
from radixloom_runtime.engine.hosts.lead import (
    SliceLink,
    SliceRunner,
    follower_reports,
    limits_to_compare,
)
from radixloom_runtime.engine.hosts.leader import Leader
from radixloom_runtime.engine.hosts.sessions import HostLostError
from radixloom_runtime.engine.launch import read_settings
from radixloom_runtime.engine.loop import EngineLoop, Link
from radixloom_runtime.engine.meter import Meter
from radixloom_runtime.engine.upkeep import Upkeep
from radixloom_runtime.engine.watchdog import STEP_LIMIT_SECONDS, Watchdog
from radixloom_runtime.errors import CapacityError, ConfigurationError
from radixloom_runtime.runner.profiler import Profiler
from radixloom_runtime.scheduler.adapters import Adapters
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.scheduler.speculation import parse
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.channels import EngineChannel
from radixloom_runtime.wire.messages import Failed, Ready, Starting
from radixloom_runtime.wire.plan import Runner
from radixloom_runtime.wire.pulse import Pulse
from radixloom_runtime.wire.slice_messages import Progress, Warm

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

log = structlog.get_logger()


class Built(Protocol):
    """A runner that is ready to run plans."""

    @property
    def runner(self) -> Runner[Any]:
        """Runs the plans."""
        ...

    @property
    def ready(self) -> Ready:
        """What the server is told about it."""
        ...

    @property
    def reload(self) -> Upkeep:
        """Changes the runner's weights."""
        ...

    @property
    def compiles_after_warmup(self) -> Callable[[], int]:
        """Counts steps that had to be compiled while serving; each is a defect."""
        ...


BuildRunner = Callable[[RuntimeSettings, Callable[[Starting], None]], Built]


def main(
    argv: Sequence[str] | None = None,
    *,
    build_runner: BuildRunner | None = None,
    step_limit_seconds: float = STEP_LIMIT_SECONDS,
) -> int:
    """Run the process that `launch.engine_command` describes; return its exit code."""
    parser = argparse.ArgumentParser(prog="radixloom_runtime.engine", description=__doc__)
    parser.add_argument("--address", required=True, help="where the server's channel is bound")
    parser.add_argument("--parent", required=True, type=int, help="process id of the server")
    arguments = parser.parse_args(argv)
    settings = read_settings(os.environ)
    logs.configure(level=settings.log_level, form=settings.log_format, process="engine")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    exit_code = run_engine(
        arguments.address,
        settings,
        build_runner or _build_jax_runner,
        parent_pid=arguments.parent,
        pulse=Pulse.of_parent(os.environ),
        step_limit_seconds=step_limit_seconds,
    )
    if exit_code and settings.num_hosts > 1:
        os._exit(exit_code)  # jax's own exit handlers would wait for hosts that are gone
    return exit_code


def _build_jax_runner(settings: RuntimeSettings, progress: Callable[[Starting], None]) -> Built:
    from radixloom_runtime.runner.build import build_runner  # jax comes with it: seconds

    return build_runner(settings, progress)


def run_engine(
    address: str,
    settings: RuntimeSettings,
    build_runner: BuildRunner,
    *,
    parent_pid: int,
    pulse: Pulse,
    step_limit_seconds: float,
) -> int:
    """Connect to the server and serve until drained; return the exit code."""
    with closing(EngineChannel(address)) as channel:
        engine = _Engine(channel, settings, build_runner)
        watchdog = Watchdog(
            parent_pid=parent_pid,
            seconds_on_device=engine.seconds_on_device,
            peers_lost=engine.peers_lost,
            pulse=pulse,
            last_words=engine.last_words,
            exit_code=EXIT_FAILED,
            step_limit_seconds=step_limit_seconds,
        )
        watchdog.start()
        exit_code = engine.run()
        watchdog.stop()
        return exit_code


class _Engine:
    """One run of the process, and what the watchdog may ask of it."""

    def __init__(
        self, channel: EngineChannel, settings: RuntimeSettings, build_runner: BuildRunner
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._build_runner = build_runner
        self._meter: Meter | None = None
        self._peers: Peers | None = None

    def run(self) -> int:
        """Serve to the end; the process's edge, where every error is caught once."""
        try:
            self._serve()
        except CapacityError as error:
            return self._cannot_serve(capacity.tell(str(error)))
        except ConfigurationError as error:
            return self._cannot_serve(str(error))
        except HostLostError as error:
            log.error("engine.slice_lost", reason=str(error))  # noqa: TRY400 - another's defect
            return self._failed(str(error), EXIT_FAILED)
        except BaseException as error:  # the server must hear of all of them
            log.exception("engine.failed")
            return self._failed(f"{type(error).__name__}: {error}", EXIT_FAILED)
        log.info("engine.drained")
        return 0

    def _cannot_serve(self, reason: str) -> int:
        log.error("engine.cannot_serve", reason=reason)
        return self._failed(reason, EXIT_CONFIGURATION)

    def seconds_on_device(self) -> float:
        """Tell for how long the device has kept us waiting."""
        meter = self._meter
        return 0.0 if meter is None else meter.seconds_on_device(time.monotonic())

    def peers_lost(self) -> str | None:
        """Say why the slice must end, or None."""
        return None if self._peers is None else self._peers.why_lost()

    def last_words(self, reason: str) -> None:
        """Say why the process ends now; called from the watchdog's thread.

        The channel belongs to the main thread, which hangs in the device's runtime. Should it
        come back just now, the worst is the end that is coming anyway.
        """
        self._failed(reason, EXIT_FAILED)
        self._channel.close()

    def _serve(self) -> None:
        if self._settings.num_hosts == 1:
            built = self._build(self._report)
            self._run_loop(built.runner, self._channel, built)
        elif self._settings.rank == 0:
            self._lead()
        else:
            self._follow()

    def _lead(self) -> None:
        """Gather the other hosts, build with them, and serve."""
        with closing(Leader(self._settings)) as leader, farewell(leader):
            self._peers = leader
            tell = follower_reports(self._channel)
            began = time.monotonic()

            def gathering(states: dict[int, str]) -> None:
                joined = 1 + sum(state != "absent" for state in states.values())
                if tell(states):
                    self._report(self._in_slice_phase(joined, time.monotonic() - began))

            def building(starting: Starting) -> None:
                leader.check()
                tell(leader.states())
                self._report(starting)

            leader.gather(gathering)
            built = self._build(building)
            leader.await_warm(limits_to_compare(built.runner.limits), tell)
            self._run_loop(
                SliceRunner(built.runner, leader), SliceLink(self._channel, leader), built
            )
            leader.drain()

    def _follow(self) -> None:
        """Join rank 0, build with it, and run its plans."""
        with closing(Follower(self._settings)) as follower, farewell(follower):
            self._peers = follower
            self._report(self._in_slice_phase(0, 0))
            follower.join()
            follower.await_begin()

            def building(starting: Starting) -> None:
                if (reason := follower.why_lost()) is not None:
                    raise HostLostError(reason)
                phase, unit = starting.phase, starting.unit
                follower.say(Progress(phase, starting.done, starting.total, unit))
                self._report(starting)

            built = self._build(building)
            follower.say(Warm(limits_to_compare(built.runner.limits)))
            self._channel.send([built.ready])
            log.info("engine.ready", seconds=built.ready.start_seconds)
            PlanLoop(built.runner, follower, self._channel, built.compiles_after_warmup).run()

    def _build(self, progress: Callable[[Starting], None]) -> Built:
        return self._build_runner(self._settings, progress)

    def _report(self, starting: Starting) -> None:
        self._channel.send([starting])

    def _in_slice_phase(self, joined: int, seconds: float) -> Starting:
        total = self._settings.num_hosts
        return Starting(phase="slice", done=joined, total=total, unit="hosts", seconds=seconds)

    def _run_loop(self, runner: Runner[Any], link: Link, built: Built) -> None:
        """Say that this engine is ready, and serve until drained."""
        wanted = self._settings.speculation
        speculation = None if wanted is None else parse(wanted)
        scheduler = Scheduler(
            runner.limits,
            max_queued_requests=self._settings.max_queued_requests,
            prefix_cache=self._settings.prefix_cache,
            policy=self._settings.schedule_policy,
            pinned_share=self._settings.pinned_share,
            speculation=speculation,
            adapters=Adapters(self._settings.num_adapters, self._settings.adapters),
        )
        if built.runner.limits.is_recurrent and self._settings.prefix_cache:
            log.info("engine.no_prefix_cache", reason="the model keeps a state, not only pages")
        self._meter = Meter(scheduler, time.monotonic, built.compiles_after_warmup)
        controls = Controls(Profiler(self._settings.profile_dir))
        guides = Guides(partial(vocabulary_of, self._settings, built.ready.vocab_size))
        upkeep = built.reload if self._settings.num_hosts == 1 else None
        loop = EngineLoop(
            scheduler, runner, link, self._meter, controls, guides=guides, upkeep=upkeep
        )
        self._channel.send([built.ready])
        log.info("engine.ready", seconds=built.ready.start_seconds)
        loop.run()

    def _failed(self, message: str, exit_code: int) -> int:
        self._channel.send([Failed(message, exit_code)])
        return exit_code
