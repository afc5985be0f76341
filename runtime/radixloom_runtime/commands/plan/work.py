"""The plan itself: arithmetic, then the compiler. The only part of the command that needs jax."""

import os
import sys

from radixloom_runtime.commands.plan.options import Request, Steps
from radixloom_runtime.errors import CapacityError
from radixloom_runtime.models.registry import read_config
from radixloom_runtime.runner import compile_cache
from radixloom_runtime.runner.ahead.findings import Findings, StepFindings
from radixloom_runtime.runner.ahead.steps import Draft, compile_steps, draft
from radixloom_runtime.runner.ahead.target import target_of
from radixloom_runtime.runner.buckets import Bucket


def plan(request: Request) -> Findings:
    """Find what `request` asks, with progress on stderr.

    Raises: `CapacityError` if it does not fit, `ConfigurationError`, `ModelError`.
    """
    if request.save is not None:
        compile_cache.use_cache(request.save)
    config = read_config(request.config)
    target = target_of(request.hardware)
    drafted = draft(request.settings, config, target)
    buckets = _chosen(drafted, request.steps)
    if request.save is not None:
        drafted.programs.compile_helpers()
    # one at a time where the seconds are of interest
    threads = 1 if request.save is None else os.cpu_count() or 1
    findings = compile_steps(drafted, buckets, threads=threads, done=_say)
    _check_peak(findings)
    if request.save is not None and target.is_here:
        drafted.allocate()  # small programs of its own, which a start would compile too
    return findings


def _chosen(drafted: Draft, steps: Steps) -> tuple[Bucket, ...]:
    buckets = drafted.buckets
    if steps is Steps.ALL:
        return buckets
    if steps is Steps.NONE:
        return ()
    decode = [bucket for bucket in buckets if not bucket.mixed]
    mixed = [bucket for bucket in buckets if bucket.mixed]
    return tuple(dict.fromkeys((decode[0], decode[-1], mixed[0], mixed[-1])))


def _say(step: StepFindings) -> None:
    sys.stderr.write(f"compiled {step.name} in {step.compile_seconds:.1f} s\n")


def _check_peak(findings: Findings) -> None:
    if findings.hbm_bytes is not None and findings.peak_bytes > findings.hbm_bytes:
        gib = 1 << 30
        raise CapacityError(
            f"a step needs {findings.peak_bytes / gib:.2f} GiB of the"
            f" {findings.hbm_bytes / gib:.2f} GiB of a device; lower memory_fraction"
        )
