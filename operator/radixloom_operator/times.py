"""Times as Kubernetes writes them: UTC, whole seconds."""

from datetime import UTC, datetime

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def write_time(time: datetime) -> str:
    """Write a time of UTC."""
    return time.strftime(_FORMAT)


def parse_time(text: str) -> datetime:
    """Read a time of UTC."""
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
