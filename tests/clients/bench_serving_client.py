"""SGL-JAX's own benchmark of servers: its native requests, and those of OpenAI's completions."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from asking import MODEL, TOKENIZER, URL, tell

PROMPTS, INPUT_TOKENS, OUTPUT_TOKENS = 4, 16, 8


def load(backend: str, *flags: str) -> dict:
    script = distribution("sglang-jax").locate_file("sgl_jax/bench_serving.py")
    with tempfile.TemporaryDirectory(prefix="radixloom-bench-") as folder:
        output = Path(folder) / "found.jsonl"
        command = [
            *(sys.executable, str(script), f"--backend={backend}", f"--base-url={URL}"),
            *(f"--model={MODEL}", f"--tokenizer={TOKENIZER}", f"--num-prompts={PROMPTS}"),
            *("--dataset-name=random-ids", f"--random-input={INPUT_TOKENS}"),
            *(f"--random-output={OUTPUT_TOKENS}", "--random-range-ratio=1", "--disable-tqdm"),
            *(f"--output-file={output}", *flags),
        ]
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=offline, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads(output.read_text())


def check(found: dict) -> None:
    assert found["completed"] == PROMPTS, found
    assert found["total_input_tokens"] == PROMPTS * INPUT_TOKENS
    assert found["total_output_tokens"] == PROMPTS * OUTPUT_TOKENS, found
    assert found["mean_ttft_ms"] > 0


def generate():
    check(load("sgl-jax", "--flush-cache"))


def generate_with_logprobs():
    check(load("sgl-jax", "--return-logprob"))


def completions():
    check(load("sglang-oai"))


tell("sglang-jax", generate, generate_with_logprobs, completions)
