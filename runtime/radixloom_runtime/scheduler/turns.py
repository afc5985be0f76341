"""Whose turn it is: users alternate, priorities go first, and nobody waits for ever.

Each request is given its place in time when it comes, and keeps it:

    alice  0 ─ 64 ─ 128 ─ 192 ─ ...      a request takes a TURN; a flood queues behind itself
    bob        70 ─ 134                  who comes later begins at the time it is
               now                       the turn of whoever was served last

With one user this is the order of arrival. With several, each is served as often as the others,
however many requests it has sent. A turn is a request, however long.

A step of priority is worth `AGING`: a request of priority p + 1 is served as if it had come 64
turns later. So a stream of urgent requests delays others and does not starve them: time goes on
with everyone who is served, by a turn where users queue and by at least a 64th where each request
has a new user. At last all that comes is behind the one that waits.

A user's priorities are counted apart; else its urgent request would queue behind its own flood.
"""

TURN = 64
AGING = 64 * TURN
"""Head start of a priority over the next one."""

_PRUNE_ABOVE = 1024
"""Users remembered before those without a turn ahead of now are looked for."""


class Turns:
    """Gives out places in time."""

    def __init__(self) -> None:
        self._now = 0
        self._next: dict[tuple[str, int], int] = {}
        self._prune_above = _PRUNE_ABOVE

    def take(self, user: str, priority: int) -> int:
        """Return the place of a user's next request."""
        turn = max(self._now, self._next.get((user, priority), 0))
        self._next[user, priority] = turn + TURN
        if len(self._next) > self._prune_above:
            self._prune()
        return turn

    def serve(self, turn: int) -> None:
        """Let time go on: the request of this turn was admitted."""
        self._now = max(self._now + 1, turn)

    def _prune(self) -> None:
        """Forget those who are treated like newcomers anyway."""
        self._next = {key: turn for key, turn in self._next.items() if turn > self._now}
        self._prune_above = max(_PRUNE_ABOVE, 2 * len(self._next))
