"""How often the hosts of a slice say that they live, and how long silence is borne."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds; the same on every host.

    A killed process is noticed with the next beat, since its kernel closes the connection; silence
    is for hosts that hang or are cut off. Together with the exit it stays under ten seconds.
    """

    beat: float = 0.5
    silence: float = 5.0
    knock: float = 1.0
    """Between the Hellos of a follower."""
    tell: float = 10.0
    """Between log lines while waiting."""
    drain: float = 4.0
    """For followers to say that they are done, once drained."""
    cause: float = 2.0
    """After a step failed here, for a lost host to show itself as the cause."""


RHYTHM = Rhythm()
