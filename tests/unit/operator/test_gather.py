"""Threads that ask at about the same time share one read, and none gets an older answer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from radixloom_operator.gather import Gather


class Source:
    """Answers with how often it was read; reads wait while the gate is shut."""

    def __init__(self) -> None:
        self.reads: list[frozenset[str]] = []
        self.began = threading.Semaphore(0)
        self.gate = threading.Event()

    def read(self, keys: frozenset[str]) -> dict[str, int]:
        self.reads.append(keys)
        number = len(self.reads)
        self.began.release()
        assert self.gate.wait(10)
        return dict.fromkeys(keys, number)


def joined(gather: Gather[str, int], count: int) -> bool:
    """Wait until so many keys are in the read that comes next."""
    for _ in range(1000):
        batch = gather._next
        if batch is not None and len(batch.keys) == count:
            return True
        threading.Event().wait(0.002)
    return False


def test_those_who_come_during_a_read_share_the_next():
    source = Source()
    gather = Gather(source.read, most=10)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(gather.get, "a")
        assert source.began.acquire(timeout=10)
        others = [pool.submit(gather.get, name) for name in "abc"]
        assert joined(gather, 3)
        source.gate.set()
        assert first.result(10) == 1
        assert [one.result(10) for one in others] == [2, 2, 2], "none has the older answer"
    assert source.reads == [frozenset("a"), frozenset("abc")]


def test_a_read_is_of_no_more_keys_than_it_has_room_for():
    source = Source()
    source.gate.set()
    gather = Gather(source.read, most=2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(gather.get, "abcdefgh"))
    assert sorted(key for keys in source.reads for key in keys) == list("abcdefgh")
    assert max(map(len, source.reads)) <= 2


def test_a_read_that_fails_fails_for_all_and_the_next_is_made_anew():
    answers = iter([OSError("gone"), None])

    def read(keys: frozenset[str]) -> dict[str, int]:
        error = next(answers)
        if error:
            raise error
        return dict.fromkeys(keys, 7)

    gather = Gather(read, most=10)
    with pytest.raises(OSError, match="gone"):
        gather.get("a")
    assert gather.get("a") == 7
