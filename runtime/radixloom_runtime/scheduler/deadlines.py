"""When requests run out of time; what has finished before is swept out now and then.

Most requests finish long before their deadline, so that with generous ones (a day, at most) those
of finished requests would outnumber the open ones by far.
"""

import heapq
from collections.abc import Callable

from radixloom_runtime.wire.messages import Submit

_SWEEP_ABOVE = 1024
"""Below this many a sweep is not worth its call."""


class Deadlines:
    """A heap of the times at which requests end."""

    def __init__(self, open_deadline: Callable[[str], float | None]) -> None:
        """`open_deadline` tells that of a request which is not finished; ids are used again."""
        self._open_deadline = open_deadline
        self._heap: list[tuple[float, str]] = []
        self._sweep_above = _SWEEP_ABOVE

    def __len__(self) -> int:
        return len(self._heap)

    def note(self, submit: Submit) -> None:
        """Remember when a request ends, if it does."""
        if submit.deadline is None:
            return
        heapq.heappush(self._heap, (submit.deadline, submit.request_id))
        if len(self._heap) > self._sweep_above:
            self._heap = [entry for entry in self._heap if self._is_open(entry)]
            heapq.heapify(self._heap)
            self._sweep_above = max(_SWEEP_ABOVE, 2 * len(self._heap))

    def take_passed(self, now: float) -> list[str]:
        """Return the open requests whose time is over, each once."""
        passed: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._is_open(entry):
                passed.append(entry[1])
        return list(dict.fromkeys(passed))  # one that came again with its deadline is here twice

    def _is_open(self, entry: tuple[float, str]) -> bool:
        deadline, request_id = entry
        return self._open_deadline(request_id) == deadline
