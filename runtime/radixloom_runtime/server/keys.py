"""API keys: who may ask at all.

Not who a request is counted for: that is `caller`. Keys are kept and compared as their hash, and
neither they nor what was presented instead of one is ever logged or told.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr
from starlette.datastructures import Headers

from radixloom_runtime.errors import ConfigurationError, RequestError
from radixloom_runtime.settings import ENV_PREFIX

OPEN_PATHS = frozenset({"/healthz", "/startupz", "/readyz", "/metrics", "/version"})
"""Probes and scrapes carry no key."""
_CONSOLE, _CONSOLE_FILES = "/", "/console/"
"""Nor do links to a page, which asks for one itself."""

_BEARER = "bearer "
_KEY = re.compile(r"[\x21-\x7e]+")


class UnauthorizedError(RequestError):
    """No API key came with the request, or none of those that may ask."""

    status = 401
    kind = "authentication_error"


class Keys:
    """The keys of a server; without any, everybody may ask."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def check(self, path: str, headers: Headers) -> None:
        """Raise `UnauthorizedError` unless a request to `path` may be answered."""
        if not self._digests or _is_open(path):
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


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path == _CONSOLE or path.startswith(_CONSOLE_FILES)


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
    """Read the keys of the settings.

    Raises: `ConfigurationError` for a file without keys: that nobody, or everybody, may ask is
    more likely a mistake than meant.
    """
    keys: list[str] = []
    if settings.api_key is not None:
        keys.append(_checked(settings.api_key.get_secret_value(), f"{ENV_PREFIX}API_KEY"))
    if settings.api_key_file is not None:
        keys += _keys_in(settings.api_key_file)
    return Keys(keys)


def _keys_in(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"api_key_file {path} cannot be read: {error}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    keys = [_checked(line, f"{path}, line {number}") for number, line in lines if line]
    if not keys:
        raise ConfigurationError(
            f"wanted an API key a line in api_key_file {path}, found none; write one, or leave"
            " api_key_file out to serve everybody"
        )
    return keys


def _checked(key: str, where: str) -> str:
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"{where}: wanted an API key of visible ASCII characters without spaces, found"
            f" {len(key)} characters that are not all such"
        )
    return key


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
