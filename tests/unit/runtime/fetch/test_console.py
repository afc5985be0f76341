"""What a log sees, and what a terminal sees."""

import io

import pytest
from rich.console import Console

from radixloom_runtime.fetch.console import ConsoleReporter

MEBIBYTE = 1024 * 1024


def test_a_log_gets_a_line_every_few_seconds_and_one_at_the_end():
    log, clock = io.StringIO(), iter([0.0, 1.0, 6.0, 7.0, 8.0])
    reporter = ConsoleReporter(Console(file=log, width=200), clock=lambda: next(clock))
    with reporter.bar("tiny", 100 * MEBIBYTE, 40 * MEBIBYTE) as advance:
        advance(6 * MEBIBYTE)
        advance(18 * MEBIBYTE)
        advance(6 * MEBIBYTE)
    assert log.getvalue().splitlines() == [
        "tiny: 64% of 100.0 MiB at 4.0 MiB/s",
        "tiny: 70% of 100.0 MiB at 3.8 MiB/s",
    ]


def test_a_terminal_gets_a_bar():
    terminal = io.StringIO()
    reporter = ConsoleReporter(Console(file=terminal, force_terminal=True, width=120))
    with reporter.bar("tiny", 10 * MEBIBYTE, 0) as advance:
        advance(10 * MEBIBYTE)
    assert "10.0/10.0 MiB" in terminal.getvalue()


def test_brackets_in_a_message_are_not_markup():
    log = io.StringIO()
    ConsoleReporter(Console(file=log, width=200)).note("use [bold] file [1]")
    assert log.getvalue() == "use [bold] file [1]\n"


def test_a_failure_ends_the_bar_without_claiming_an_end():
    log = io.StringIO()
    reporter = ConsoleReporter(Console(file=log, width=200))
    with pytest.raises(ZeroDivisionError), reporter.bar("tiny", 100, 0):
        _ = 1 / 0
    assert log.getvalue() == ""
