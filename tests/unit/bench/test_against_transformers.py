"""The table that goes into the documentation."""

import against_transformers as bench


def sample(first_seconds: float, speed: float, *ids: int) -> bench.Sample:
    return bench.Sample(first_seconds, speed, (tuple(ids),))


ROUNDS = bench.Rounds(
    streams=1,
    ours=[sample(0.1, 50.0, 1, 2), sample(0.3, 30.0, 1, 2), sample(0.2, 40.0, 1, 2)],
    theirs=[sample(0.4, 10.0, 1, 2), sample(0.5, 20.0, 1, 3), sample(0.6, 15.0, 1, 2)],
)


def test_the_table_has_medians_and_says_how_many_answers_agree():
    text = bench.markdown([ROUNDS], [("start (s)", "2.0", "9.0")], ["2 cores"])
    assert text.splitlines() == [
        "- 2 cores",
        "",
        "| | radixloom | transformers |",
        "|---|---:|---:|",
        "| start (s) | 2.0 | 9.0 |",
        "| 1 stream: TTFT, mean of streams (ms) | 200 | 500 |",
        "| 1 stream: output tokens/s | 40.0 | 15.0 |",
        "| 1 stream: answers with the same ids | 2 of 3 | |",
    ]


def test_memory_is_measured_over_the_whole_family_of_processes():
    import os
    import subprocess
    import sys

    from running_server import resident_bytes

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = resident_bytes(os.getpid())
        assert found.keys() >= {os.getpid(), child.pid}
        assert found[os.getpid()] > 10_000_000
        child.communicate(b"\n")
