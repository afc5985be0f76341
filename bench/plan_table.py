"""Which models fit which TPU slices: `radixloom plan` for a table of both, compiled without a TPU.

    python bench/plan_table.py              every row, decode and mixed steps small and large
    python bench/plan_table.py qwen3-8b     rows whose name contains that
    python bench/plan_table.py --quick      small steps alone, as the tests compile them

Prints a Markdown table for docs/measurements.md. Memory is the compiler's answer for one device;
seconds are of this machine. A row that does not fit says why: some are there to show that.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent / "configs"
"""config.json of public checkpoints: shapes, no weights."""

QUICK = ("--max-running-requests", "8", "--step-tokens", "16")
_GIB, _MIB = 1 << 30, 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """A model on a slice."""

    model: str
    tpu: str
    topology: str
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`qwen3-8b v6e 1x1`."""
        return " ".join((self.model, self.tpu, self.topology, *self.flags))


GATED = (
    Row("llama-3.1-8b", "v5e", "2x2"),
    Row("qwen3-8b", "v6e", "1x1"),
    Row("qwen3-32b", "v6e", "2x2"),
    Row("qwen3-30b-a3b", "v6e", "2x2"),
    Row("llama-3.3-70b", "v6e", "2x4"),
    Row("qwen3-8b", "tpu7x", "2x2x1"),
    Row("qwen3-30b-a3b", "v6e", "2x4"),
    Row("deepseek-v3", "tpu7x", "2x2x4", ("--expert-parallel", "32")),
    Row("gpt-oss-120b", "v6e", "2x2", ("--expert-parallel", "4")),
)
"""What the tests compile."""

ROWS = (
    *GATED,
    Row("qwen3-8b", "v5e", "1x1"),
    Row("qwen3-8b", "v5e", "2x2"),
    Row("qwen3-8b", "v5p", "2x2x1"),
    Row("qwen3-8b", "v4", "2x2x1"),
    Row("llama-3.3-70b", "v5e", "2x4"),
    Row("smollm2-135m", "v6e", "1x1"),
)


def plan(row: Row, *flags: str) -> tuple[dict[str, Any], str]:
    """Return what the command says of a row, and what it wrote to stderr."""
    command = [sys.executable, "-m", "radixloom_runtime.cli", "plan"]
    config = str(CONFIGS / f"{row.model}.json")
    hardware = ("--tpu", row.tpu, "--topology", row.topology)
    done = subprocess.run(
        [*command, "--model", config, *hardware, "--json", *row.flags, *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        return {"fits": False, "reason": done.stderr.strip()}, done.stderr
    return json.loads(done.stdout), done.stderr


def lines(row: Row, found: dict[str, Any]) -> list[str]:
    """Write a row of the table for each step."""
    if not found["fits"]:
        return [f"| {row.name} | does not fit: {found['reason']} | | | | | | |"]
    memory = (
        f"{found['weights_bytes'] / _GIB:.2f} | {found['kv_tokens']}"
        f" | {found['peak_bytes'] / _GIB:.1f} of {found['hbm_bytes'] / _GIB:.2f}"
    )
    written: list[str] = []
    for step in found["steps"]:
        traffic = ", ".join(
            f"{one['count']} {one['kind']} ({one['num_bytes'] / _MIB:.1f} MiB)"
            for one in step["traffic"]
        )
        gathers = " **gathers a weight**" if step["weight_gathers"] else ""
        name = row.name if not written else ""
        written.append(
            f"| {name} | {memory if name else '| |'} | {step['name']}"
            f" | {step['temporaries_bytes'] / _MIB:.0f} | {traffic or '-'}{gathers}"
            f" | {step['compile_seconds']:.0f} |"
        )
    return written


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", nargs="?", default="", help="Of a row's name.")
    parser.add_argument("--quick", action="store_true", help="Small steps alone.")
    arguments = parser.parse_args()
    print(
        "| model and slice | weights GiB | KV tokens | peak GiB | step | temporaries MiB"
        " | collectives of a step | compile s |\n|---|---|---|---|---|---|---|---|"
    )
    for row in ROWS:
        if arguments.part in row.name:
            found, _ = plan(row, *(QUICK if arguments.quick else ()))
            print("\n".join(lines(row, found)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
