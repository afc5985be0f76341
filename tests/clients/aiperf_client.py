"""NVIDIA's aiperf: a load of streamed chats, and what it measures of them."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from asking import MODEL, TOKENIZER, URL, tell

REQUESTS, OUTPUT_TOKENS = 4, 8


def load(kind: str, *flags: str) -> dict:
    with tempfile.TemporaryDirectory(prefix="radixloom-aiperf-") as folder:
        command = [
            *(sys.executable, "-m", "aiperf", "profile", "--ui=none", "--no-gpu-telemetry"),
            *(f"--url={URL}", f"--model={MODEL}", f"--tokenizer={TOKENIZER}"),
            *(f"--endpoint-type={kind}", f"--request-count={REQUESTS}", "--concurrency=2"),
            *("--prompt-input-tokens-mean=16", f"--prompt-output-tokens-mean={OUTPUT_TOKENS}"),
            *(f"--output-artifact-dir={folder}", *flags),
        ]
        kept = {**os.environ, "XDG_CACHE_HOME": folder}
        done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads((Path(folder) / "profile_export_aiperf.json").read_text())


def stream():
    found = load("chat", "--streaming", "--extra-inputs=ignore_eos:true")
    assert found["request_count"]["avg"] == REQUESTS, found["error_summary"]
    assert not found["error_summary"]
    assert found["usage_completion_tokens"]["avg"] == OUTPUT_TOKENS
    assert found["time_to_first_token"]["avg"] > 0


tell("aiperf", stream)
