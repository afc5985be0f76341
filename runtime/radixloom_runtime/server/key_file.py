"""A file of API keys, a line each, that may change while it is used.

A mounted Secret changes by a link that is turned to a new folder: the file is another one then, and
one `stat` tells. A file that went wrong meanwhile leaves the keys as they were: that nobody, or
everybody, may ask from now on is more likely a mistake than meant.
"""

import re
from pathlib import Path

import structlog

from radixloom_runtime.errors import ConfigurationError

LOOK_SECONDS = 5.0
"""Between two looks at the file; a kubelet takes a minute to bring what changed."""

_KEY = re.compile(r"[\x21-\x7e]+")
_Stamp = tuple[int, int, int]

log = structlog.get_logger()


class KeyFile:
    """Tells the keys of a file at first, and again when they changed; keeps none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: _Stamp | None = None
        self._looked_at = 0.0

    def read(self, now: float) -> tuple[str, ...]:
        """Return the keys that the file holds now.

        Raises: `ConfigurationError` where it is no file of keys.
        """
        self._looked_at = now
        self._stamp = _stamp(self._path)  # first: what changes meanwhile is seen by the next look
        return _keys_in(self._path)

    def news(self, now: float) -> tuple[str, ...] | None:
        """Return the keys if they changed since; None otherwise, and when it is no time to look."""
        if now - self._looked_at < LOOK_SECONDS:
            return None
        self._looked_at = now
        if _stamp(self._path) == self._stamp:
            return None
        try:
            keys = self.read(now)
        except ConfigurationError as error:
            log.warning("keys.unreadable", problem=str(error), kept="those from before")
            return None
        log.info("keys.read", file=str(self._path), num_keys=len(keys))
        return keys


def checked(key: str, where: str) -> str:
    """Return a key that can be sent in a header.

    Raises: `ConfigurationError` for another, without telling it.
    """
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"{where}: wanted an API key of visible ASCII characters without spaces, found"
            f" {len(key)} characters that are not all such"
        )
    return key


def _keys_in(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"api_key_file {path} cannot be read: {error}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    keys = tuple(checked(line, f"{path}, line {number}") for number, line in lines if line)
    if not keys:
        raise ConfigurationError(
            f"wanted an API key a line in api_key_file {path}, found none; write one, or leave"
            " api_key_file out to serve everybody"
        )
    return keys


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)
