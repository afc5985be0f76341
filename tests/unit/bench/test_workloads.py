"""The loads are the same for every side, and the table says what they made of them."""

import argparse
import itertools
import os
import subprocess
import sys

import loads
import pytest
import workloads
from peers import BatchSide, batch_process
from running_server import resident_bytes

from radixloom_runtime.commands.bench import dataset, options

ECHO = """
import json, sys
print(json.dumps({"echo": 1}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    ids = [prompt[:1] * job["output_tokens"] for prompt in job["prompts"]]
    print(json.dumps({"first_seconds": 0.5, "seconds": 2.5, "token_ids": ids}), flush=True)
"""


@pytest.fixture
def echo(tmp_path):
    with batch_process("echo", [sys.executable, "-c", ECHO], tmp_path / "log") as side:
        yield side


@pytest.mark.parametrize("load", [*loads.LOADS, loads.SHARED], ids=lambda load: load.name)
def test_radixloom_bench_draws_the_prompts_that_other_sides_are_given(load):
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    arguments = parser.parse_args([*load.flags, "--seed", "7"])
    assert dataset.make(options.prompts(arguments)) == load.prompts(7)
    assert arguments.output_tokens == load.output_tokens
    assert [*itertools.chain(*load.batches(7))] == load.prompts(7)


def test_a_batch_is_timed_from_its_jobs(echo: BatchSide):
    two_by_one = loads.Load("", 2, own_tokens=10, output_tokens=5, at_a_time=1)
    found = echo.answer(two_by_one, seed=1)
    assert found == loads.Result(2 * 5 / 5.0, 2 * 15 / 5.0, first_ms=500.0, between_ms=500.0)
    assert echo.ids([[3, 4], [5]], 2) == [[3, 3], [5, 5]]


def test_of_several_rounds_the_fastest_counts_and_ours_stands_over_the_others(capsys):
    class Fixed:
        def __init__(self, name: str, *speeds: float) -> None:
            self.name, self._speeds = name, list(speeds)

        def answer(self, load: loads.Load, seed: int) -> loads.Result:
            speed = self._speeds.pop(0)
            return loads.Result(speed, 2 * speed, 100.0, 10.0)

    sides = [Fixed("ours", 30.0, 40.0), Fixed("theirs", 20.0, 10.0)]
    results = workloads.take_turns(loads.SHARED, sides, rounds=2)
    assert [result.output_per_second for result in results.values()] == [40.0, 20.0]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "| ours | 40.0 | 80 | 100 | 10.0 | 1.00 |",
        "| theirs | 20.0 | 40 | 100 | 10.0 | 2.00 |",
    ]


def test_memory_is_measured_over_the_whole_family_of_processes():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = resident_bytes(os.getpid())
        assert found.keys() >= {os.getpid(), child.pid}
        assert found[os.getpid()] > 10_000_000
        child.communicate(b"\n")
