"""The command as a user runs it: a process of its own, since it decides before jax is imported."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.goldens import folder as golden

CONFIGS = Path(__file__).parents[5] / "bench" / "configs"


def _environment() -> dict[str, str]:
    """Return a user's environment: the CPU devices of the tests' own processes are not in it."""
    return {name: value for name, value in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}


def _plan(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "radixloom_runtime.cli", "plan", *argv],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_a_model_that_is_too_large_is_refused_before_anything_is_compiled():
    model = str(CONFIGS / "qwen3-8b.json")
    refused = _plan("--model", model, "--tpu", "v5e", "--topology", "1x1", "--json")
    assert refused.returncode == 2, refused.stderr
    assert json.loads(refused.stdout)["fits"] is False
    assert "compiled" not in refused.stderr
    assert "weights of 15.26 GiB" in refused.stderr
    assert "at least 2 such devices, not 1" in refused.stderr


@pytest.mark.slow
def test_devices_that_leave_a_host_without_work_are_refused_as_the_engine_would():
    model = str(CONFIGS / "qwen3-8b.json")
    where = ("--tpu", "v6e", "--topology", "4x4", "--steps", "none")
    refused = _plan("--model", model, *where, "--tensor-parallel", "4")
    assert refused.returncode == 2, refused.stderr
    assert "unevenly on the hosts: [" in refused.stderr
    assert "set --tensor-parallel to 16, so that it spans all 16 of the slice" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_step_too_large_for_what_is_left_is_refused_in_the_compilers_words(tmp_path: Path):
    config = json.loads((CONFIGS / "qwen3-8b.json").read_text()) | {"num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused = _plan(
        *("--model", str(tmp_path), "--tpu", "v5e", "--topology", "1x1"),
        *("--memory-fraction", "1.0", "--max-running-requests", "32", "--step-tokens", "32"),
    )
    assert refused.returncode == 2, refused.stderr
    assert "step of 1 tokens does not fit: " in refused.stderr
    assert "hbm" in refused.stderr.lower()
    assert "lower memory_fraction" in refused.stderr.lower()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_fits_is_told_with_the_compilers_figures(tmp_path: Path):
    config = json.loads((CONFIGS / "qwen3-8b.json").read_text()) | {"num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    planned = _plan(
        *("--model", str(tmp_path), "--tpu", "v6e", "--topology", "1x1", "--json"),
        *("--max-running-requests", "8", "--step-tokens", "64"),
    )
    assert planned.returncode == 0, planned.stderr
    found = json.loads(planned.stdout)
    assert [step["name"] for step in found["steps"]] == [
        *("decode 1", "decode 8", "mixed 16x8", "mixed 64x8")
    ]
    held = found["weights_bytes"] + found["kv_bytes"]
    for step in found["steps"]:
        assert held <= step["arguments_bytes"] <= held * 1.01
        assert not step["traffic"]
        assert step["peak_bytes"] < found["hbm_bytes"]


@pytest.mark.slow
def test_about_twice_the_tokens_fit_in_eight_bits():
    model = str(CONFIGS / "qwen3-8b.json")
    tokens: dict[str, int] = {}
    for dtype in ("auto", "fp8", "int8"):
        where = ("--tpu", "v6e", "--topology", "1x1", "--steps", "none", "--json")
        planned = _plan("--model", model, *where, "--kv-cache-dtype", dtype)
        assert planned.returncode == 0, planned.stderr
        tokens[dtype] = json.loads(planned.stdout)["kv_tokens"]
    assert tokens["fp8"] == pytest.approx(2 * tokens["auto"], abs=128)
    assert 1.85 < tokens["int8"] / tokens["auto"] < 2


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("llama-tied", ("--kv-cache-dtype", "int8")),
        ("qwen3-moe-sparse", ("--tensor-parallel", "2", "--expert-parallel", "2")),
    ],
)
def test_a_start_from_what_was_saved_compiles_nothing(
    name: str, asked: tuple[str, ...], tmp_path: Path
):
    model, saved = golden(name), tmp_path / "saved"
    shapes = ("--max-running-requests", "2", "--step-tokens", "16", *asked)
    planned = _plan("--model", str(model), "--tpu", "cpu", "--save", str(saved), *shapes)
    assert planned.returncode == 0, planned.stderr
    flags = shlex.split(planned.stderr.rpartition("radixloom serve ")[2])
    programs = {path.name for path in saved.iterdir() if path.name.endswith("-cache")}
    assert len(programs) > 5
    script = (
        "import argparse, sys\n"
        "from radixloom_runtime.commands import flags\n"
        "from radixloom_runtime.runner.build import build_runner\n"
        "parser = argparse.ArgumentParser()\n"
        "flags.add_arguments(parser)\n"
        "settings = flags.settings_from(parser.parse_args(sys.argv[1:]))\n"
        "ready = build_runner(settings, lambda progress: None).ready\n"
        "assert ready.compile_cache_hits >= ready.num_buckets, ready\n"
    )
    started = subprocess.run(
        [sys.executable, "-c", script, "--model", str(model), *flags],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    # every program that is compiled is kept, however small: so nothing new means nothing compiled
    assert {path.name for path in saved.iterdir() if path.name.endswith("-cache")} == programs
