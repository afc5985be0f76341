"""The queue: each key once, never twice at a time, again after a failure."""

import asyncio
from collections import Counter

from radixloom_operator.workqueue import WorkQueue


class Bench:
    """Counts runs; `verdicts` says how each ends, True after that."""

    def __init__(self, *verdicts: bool, seconds: float = 0.0) -> None:
        self.runs: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.most_at_once = 0
        self.verdicts = list(verdicts)
        self.seconds = seconds

    async def work(self, key: str) -> bool:
        self.runs[key] += 1
        self.at_once[key] += 1
        self.most_at_once = max(self.most_at_once, self.at_once[key])
        await asyncio.sleep(self.seconds)
        self.at_once[key] -= 1
        return self.verdicts.pop(0) if self.verdicts else True


async def play(bench: Bench, scene, *, workers: int = 4, seconds: float = 0.3) -> None:
    queue = WorkQueue(bench.work, settle_seconds=0.01, rest_seconds=0.15, first_retry_seconds=0.02)
    tasks = [asyncio.create_task(queue.run_worker()) for _ in range(workers)]
    await scene(queue)
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_many_events_of_one_key_become_one_run():
    async def scene(queue):
        for _ in range(100):
            queue.add("a")

    bench = Bench()
    asyncio.run(play(bench, scene))
    assert bench.runs["a"] == 1


def test_a_key_added_during_its_run_is_worked_on_once_more():
    async def scene(queue):
        queue.add("a")
        await asyncio.sleep(0.05)
        for _ in range(10):
            queue.add("a")

    bench = Bench(seconds=0.1)
    asyncio.run(play(bench, scene, seconds=0.5))
    assert bench.runs["a"] == 2
    assert bench.most_at_once == 1


def test_a_key_added_during_its_run_rests_before_the_next():
    began, may_end = asyncio.Event(), asyncio.Event()
    runs: list[str] = []

    async def work(key: str) -> bool:
        runs.append(key)
        began.set()
        await may_end.wait()
        return True

    async def scene():
        queue = WorkQueue(work, settle_seconds=0.01, rest_seconds=60)
        task = asyncio.create_task(queue.run_worker())
        queue.add("a")
        await began.wait()
        queue.add("a")
        await asyncio.sleep(0.03)  # it is due, and noted for later
        may_end.set()
        await asyncio.sleep(0.05)  # without a rest it would run by now
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    assert runs == ["a"]


def test_keys_run_side_by_side_but_never_one_key_twice():
    async def scene(queue):
        for _ in range(5):
            for key in "abc":
                queue.add(key)
            await asyncio.sleep(0.03)

    bench = Bench(seconds=0.02)
    asyncio.run(play(bench, scene))
    assert set(bench.runs) == {"a", "b", "c"}
    assert bench.most_at_once == 1


def test_what_failed_is_tried_again_until_it_settles():
    async def scene(queue):
        queue.add("a")

    bench = Bench(False, False, True)
    asyncio.run(play(bench, scene))
    assert bench.runs["a"] == 3


def test_an_event_does_not_wait_for_the_pause_of_a_failure():
    async def scene(queue):
        queue.add("a")
        await asyncio.sleep(0.05)
        queue.add("a")

    async def slow_retry(bench):
        queue = WorkQueue(bench.work, settle_seconds=0.01, first_retry_seconds=60)
        task = asyncio.create_task(queue.run_worker())
        await scene(queue)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    bench = Bench(False)
    asyncio.run(slow_retry(bench))
    assert bench.runs["a"] == 2
