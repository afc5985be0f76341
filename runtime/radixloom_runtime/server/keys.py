"""API keys: who may ask at all.

Not who a request is counted for: that is `caller`. Keys are kept and compared as their hash, and
neither they nor what was presented instead of one is ever logged or told.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr
from starlette.datastructures import Headers

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.key_file import KeyFile, checked
from radixloom_runtime.settings import ENV_PREFIX

OPEN_PATHS = frozenset({"/healthz", "/startupz", "/readyz", "/metrics", "/version"})
"""Probes and scrapes carry no key."""
_CONSOLE, _CONSOLE_FILES = "/", "/console/"
"""Nor do links to a page, which asks for one itself; whatever else is sent there needs one."""
_READING = frozenset({"GET", "HEAD"})

_BEARER = "bearer "


class UnauthorizedError(RequestError):
    """No API key came with the request, or none of those that may ask."""

    status = 401
    kind = "authentication_error"


class Keys:
    """The keys of a server, and those of a file as it is now; without any, everybody may ask."""

    def __init__(
        self,
        keys: Iterable[str] = (),
        file: KeyFile | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file. Raises: `ConfigurationError` where it is none of keys."""
        self._file, self._clock = file, clock
        self._own = _digests(keys)
        self._digests = self._own + (_digests(file.read(clock())) if file else ())

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Raise `UnauthorizedError` unless a request to `path` may be answered."""
        self._follow_file()
        if not self._digests or _is_open(method, path):
            return
        presented = presented_key(headers)
        if not presented:
            raise UnauthorizedError(
                "this server wants an API key, found none; send it as"
                " `Authorization: Bearer KEY` or `x-api-key: KEY`",
                code="invalid_api_key",
            )
        digest = _digest(presented)
        if not any(hmac.compare_digest(digest, known) for known in self._digests):
            raise UnauthorizedError(
                "the API key is none of this server's; ask its operator for one",
                code="invalid_api_key",
            )

    def _follow_file(self) -> None:
        news = self._file.news(self._clock()) if self._file else None
        if news is not None:
            self._digests = self._own + _digests(news)


def _is_open(method: str, path: str) -> bool:
    if path in OPEN_PATHS:
        return True
    # A POST is what routers hold, and bring a replica for: not for somebody without a key.
    is_of_console = path == _CONSOLE or path.startswith(_CONSOLE_FILES)
    return is_of_console and method in _READING


def presented_key(headers: Headers) -> str:
    """Return the key that a request brings; empty for none."""
    authorization = headers.get("authorization", "")
    if authorization.lower().startswith(_BEARER):
        return authorization[len(_BEARER) :].strip()
    return headers.get("x-api-key", "").strip()


class KeySettings(Protocol):
    """Where keys are told: the settings of a server, or of a router."""

    @property
    def api_key(self) -> SecretStr | None:
        """A single key."""
        ...

    @property
    def api_key_file(self) -> Path | None:
        """A file of keys, a line each."""
        ...


def load(settings: KeySettings) -> Keys:
    """Read the keys of the settings. Raises: `ConfigurationError` for a file without keys."""
    path = settings.api_key_file
    return Keys(single_key(settings), None if path is None else KeyFile(path))


def single_key(settings: KeySettings) -> tuple[str, ...]:
    """Return the key that is told by itself, if one is. Raises: `ConfigurationError`."""
    if settings.api_key is None:
        return ()
    return (checked(settings.api_key.get_secret_value(), f"{ENV_PREFIX}API_KEY"),)


def _digests(keys: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(_digest(key) for key in keys)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
