"""Requests a minute, for each API key: a token bucket. Pure; time is an argument in seconds."""

from dataclasses import dataclass

_MINUTE = 60.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A bucket for each key that holds a minute's requests; it must be asked for known keys only.

    Each router counts for itself: with two of them, a key may send twice as much.
    """

    def __init__(self, requests_per_minute: int) -> None:
        self._capacity = requests_per_minute
        self._buckets: dict[str, _Bucket] = {}

    def wait_seconds(self, key: str, now: float) -> float:
        """Count a request; 0 if it may pass, else how long until one may, and it is not counted."""
        bucket = self._buckets.setdefault(key, _Bucket(self._capacity, now))
        refilled = bucket.tokens + (now - bucket.filled_at) * self._capacity / _MINUTE
        bucket.tokens, bucket.filled_at = min(self._capacity, refilled), now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) * _MINUTE / self._capacity
