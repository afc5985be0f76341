import argparse
import json
from dataclasses import replace
from pathlib import Path

from radixloom_runtime.commands.plan import options, report
from radixloom_runtime.runner.ahead.findings import Findings, StepFindings, Traffic
from radixloom_runtime.runner.ahead.hlo import Collective

GIB = 1 << 30

STEP = StepFindings(
    tokens=64,
    rows=64,
    mixed=False,
    arguments_bytes=9 * GIB,
    temporaries_bytes=GIB // 2,
    code_bytes=GIB // 4,
    results_bytes=GIB // 4,
    traffic=(Traffic("all-reduce", 65, 3 << 20),),
    weight_gathers=(),
    lower_seconds=0.5,
    compile_seconds=7.25,
)
FOUND = Findings(
    architecture="Qwen3ForCausalLM",
    dtype="bfloat16",
    kv_dtype="int8",
    target="v7x 2x2x1 (1 host x 4 chips)",
    num_devices=8,
    devices_per_chip=2,
    used_devices=8,
    num_groups=1,
    hbm_bytes=20 * GIB,
    weights_bytes=2 * GIB,
    kv_bytes=7 * GIB,
    kv_tokens=65536,
    page_tokens=64,
    max_model_len=40960,
    max_rows=256,
    step_tokens=2048,
    steps=(STEP,),
)


def test_the_table_tells_memory_of_a_device_and_each_step():
    title, *rest = report.as_text(FOUND).splitlines()
    assert title == (
        "Qwen3ForCausalLM in bfloat16 on v7x 2x2x1 (1 host x 4 chips):"
        " one copy on 8 of 8 devices (2 devices a chip)"
    )
    assert rest == [
        "",
        "of each device         GiB",
        "HBM                  20.00  usable, by the compiler",
        "weights               2.00",
        "KV pages              7.00  65536 tokens in pages of 64 of int8; requests up to 40960",
        "peak of a step       10.00  50% of HBM",
        "",
        "step               arguments  temporaries      peak   compile  collectives",
        "decode 64               9.00        0.500     10.00     7.2 s  65 all-reduce (3.0 MiB)",
    ]


def test_copies_of_the_attention_are_told():
    title, *rest = report.as_text(replace(FOUND, num_groups=4)).splitlines()
    assert "4 copies of the attention on 8 of 8 devices" in title
    assert any("65536 tokens for each copy in pages of 64" in line for line in rest)


def test_a_gathered_weight_is_pointed_at():
    gather = Collective("all-gather", "bf16", (4096, 24576))
    found = replace(FOUND, steps=(replace(STEP, weight_gathers=(gather,)),))
    last = report.as_text(found).splitlines()[-1]
    assert last == "! decode 64 gathers a weight: all-gather of bf16[4096, 24576]"


def test_json_says_all_that_was_found_and_that_it_fits():
    written = json.loads(report.as_json(FOUND))
    assert written["fits"] is True
    assert (written["weights_bytes"], written["peak_bytes"]) == (2 * GIB, 10 * GIB)
    (step,) = written["steps"]
    assert (step["name"], step["peak_bytes"]) == ("decode 64", 10 * GIB)
    assert step["traffic"] == [{"kind": "all-reduce", "count": 65, "num_bytes": 3 << 20}]


def _request(*argv: str) -> options.Request:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    return options.read(parser.parse_args(["--model", "m", *argv]))


def test_what_was_saved_is_found_by_a_start_with_the_same_shapes():
    flags = ("--expert-parallel", "2", "--kv-cache-dtype", "int8")
    request = _request("--tpu", "v7x", "--topology", "2x2x1", *flags)
    assert report.how_to_start(request, Path("compiled"), FOUND) == (
        "saved; start with: radixloom serve --compile-cache-dir compiled --dtype bfloat16"
        " --page-tokens 64 --kv-cache-dtype int8 --kv-cache-tokens 65536 --max-model-len 40960"
        " --max-running-requests 256 --step-tokens 2048 --data-parallel 1"
        " --tensor-parallel 8 --expert-parallel 2\n"
    )


def test_a_start_on_a_cut_cpu_is_told_to_cut_it():
    request = _request("--tpu", "cpu", "--tensor-parallel", "2")
    found = replace(FOUND, num_devices=2, used_devices=2, hbm_bytes=None)
    said = report.how_to_start(request, Path("compiled"), found)
    assert said.endswith(" --tensor-parallel 2 --expert-parallel 1 --cpu-devices 2\n")
