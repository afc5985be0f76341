"""The report on goldens says "right" of what is, and of nothing else."""

import subprocess
import sys

import pytest

from hack import golden_report
from hack.golden_report import Result, difference
from radixloom_runtime.models.registry import ARCHITECTURES
from radixloom_runtime.wire.messages import TokenLogprobs

IDS, LOGPROBS = [5, 9, 2, 7], [-0.5, -1.5, -2.5, -3.5]


def found(ids=IDS, logprobs=LOGPROBS) -> TokenLogprobs:
    return TokenLogprobs(ids[0], logprobs[0], list(ids), list(logprobs))


def result(architecture="LlamaForCausalLM", **changed) -> Result:
    values = {
        "largest_difference": 1e-5,
        "num_positions": 40,
        "num_equal": 16,
        "num_asked": 16,
        "cached_tokens": 512,
    }
    return Result("tiny", architecture, 4, 4, **(values | changed))


def test_the_largest_difference_is_that_of_any_token():
    assert difference(found(logprobs=[-0.5, -1.5, -2.6, -3.5]), IDS, LOGPROBS) == pytest.approx(0.1)


def test_near_ties_may_stand_in_either_order():
    near = [-0.5, -1.5, -1.5001, -3.5]
    assert difference(found([5, 2, 9, 7], near), IDS, near) == pytest.approx(1e-4)


def test_other_tokens_with_the_same_logprobs_are_no_match():
    assert difference(found([1, 3, 4, 7]), IDS, LOGPROBS) == float("inf")


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_equal": 15},
        {"largest_difference": 3e-3},
        {"largest_difference": float("nan")},
        {"num_equal": 0, "num_asked": 0},
        {"problem": "ModelError: no"},
    ],
)
def test_one_thing_wrong_is_not_right(wrong):
    assert result().is_right
    assert not result(**wrong).is_right


def test_an_architecture_that_was_not_compared_is_told(capsys):
    all_but_one = [result(architecture) for architecture in sorted(ARCHITECTURES)[1:]]
    assert not golden_report.tell(all_but_one, whole=True)
    assert f"not compared: {min(ARCHITECTURES)}" in capsys.readouterr().out
    assert golden_report.tell(all_but_one, whole=False)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_checkpoint_is_compared_on_one_device_and_on_as_many_as_it_can_be_cut_for():
    command = [sys.executable, "-m", "hack.golden_report", "llama-rope3-gqa-untied"]
    command += ["--tensor-parallel", "1", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| llama")]
    assert [row[2] for row in rows] == ["1", "2 (not 3)"]
    assert [row[4] for row in rows] == ["16 of 16"] * 2
