"""What a plan prints: a table for people, JSON for programs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radixloom_runtime.commands.plan.options import Request
from radixloom_runtime.errors import CapacityError
from radixloom_runtime.runner.ahead.findings import Findings, StepFindings
from radixloom_runtime.topology import Generation

_GIB = 1 << 30
_MIB = 1 << 20


def as_text(findings: Findings) -> str:
    """Lay findings out for people."""
    f = findings
    chips = " (2 devices a chip)" if f.devices_per_chip == 2 else ""
    devices = f"{f.used_devices} of {f.num_devices} devices{chips}"
    lines = [
        f"{f.architecture} in {f.dtype} on {f.target}: {_copies(f)} on {devices}",
        "",
        f"{'of each device':<18}{'GiB':>8}",
    ]
    if f.hbm_bytes is not None:
        lines.append(_row("HBM", f.hbm_bytes, "usable, by the compiler"))
    lines += [
        _row("weights", f.weights_bytes),
        _row("KV pages", f.kv_bytes, _kv_text(f)),
    ]
    if f.steps:
        lines += [_row("peak of a step", f.peak_bytes, _peak_text(f)), "", _HEADING]
        lines += [_step(step) for step in f.steps]
        lines += [f"! {text}" for step in f.steps for text in _warnings(step)]
    return "\n".join(lines) + "\n"


def as_json(findings: Findings) -> str:
    """Write findings as one JSON object."""
    return _dumps({"fits": True, **_plain(findings)})


def refusal_as_json(request: Request, error: CapacityError) -> str:
    """Write why it does not fit."""
    return _dumps({"fits": False, "target": request.hardware.summary, "reason": str(error)})


def how_to_start(request: Request, save: Path, findings: Findings) -> str:
    """Say with which flags `serve` finds what was saved: those that shape the programs."""
    f = findings
    shapes: list[tuple[str, object]] = [
        ("dtype", f.dtype),
        ("page-tokens", f.page_tokens),
        ("kv-cache-dtype", request.settings.kv_cache_dtype),
        ("kv-cache-tokens", f.kv_tokens),
        ("max-model-len", f.max_model_len),
        ("max-running-requests", f.max_rows),
        ("step-tokens", f.step_tokens),
        ("data-parallel", f.num_groups),
        ("tensor-parallel", f.used_devices // f.num_groups),
        ("expert-parallel", request.settings.expert_parallel),
    ]
    if request.hardware.generation is Generation.CPU and f.num_devices > 1:
        shapes.append(("cpu-devices", f.num_devices))
    flags = " ".join(f"--{name} {value}" for name, value in shapes)
    return f"saved; start with: radixloom serve --compile-cache-dir {save} {flags}\n"


_HEADING = (
    f"{'step':<18}{'arguments':>10}{'temporaries':>13}{'peak':>10}{'compile':>10}  collectives"
)


def _row(name: str, num_bytes: int, text: str = "") -> str:
    return f"{name:<18}{num_bytes / _GIB:>8.2f}  {text}".rstrip()


def _copies(f: Findings) -> str:
    return "one copy" if f.num_groups == 1 else f"{f.num_groups} copies of the attention"


def _kv_text(f: Findings) -> str:
    each = "" if f.num_groups == 1 else " for each copy"
    numbers = "" if f.kv_dtype == f.dtype else f" of {f.kv_dtype}"
    tokens = f"{f.kv_tokens} tokens{each} in pages of {f.page_tokens}{numbers}"
    return f"{tokens}; requests up to {f.max_model_len}"


def _peak_text(f: Findings) -> str:
    return "" if f.hbm_bytes is None else f"{f.peak_bytes / f.hbm_bytes:.0%} of HBM"


def _step(step: StepFindings) -> str:
    sizes = f"{step.arguments_bytes / _GIB:>10.2f}{step.temporaries_bytes / _GIB:>13.3f}"
    traffic = ", ".join(f"{t.count} {t.kind} ({t.num_bytes / _MIB:.1f} MiB)" for t in step.traffic)
    return (
        f"{step.name:<18}{sizes}{step.peak_bytes / _GIB:>10.2f}{step.compile_seconds:>8.1f} s"
        f"  {traffic or 'none'}"
    )


def _warnings(step: StepFindings) -> list[str]:
    return [
        f"{step.name} gathers a weight: {gather.kind} of {gather.dtype}{list(gather.shape)}"
        for gather in step.weight_gathers
    ]


def _plain(findings: Findings) -> dict[str, Any]:
    plain = asdict(findings)
    plain["peak_bytes"] = findings.peak_bytes
    for written, step in zip(plain["steps"], findings.steps, strict=True):
        written.update(name=step.name, peak_bytes=step.peak_bytes)
    return plain


def _dumps(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
