"""The key by which a router asks leaders for their models.

Its single one, or else the first of its file: where leaders read the same Secret, they take it,
too. It is followed through changes, as `server.keys` follows them for clients.
"""

from radixloom_runtime.router.http_connection import Headers
from radixloom_runtime.server.key_file import KeyFile
from radixloom_runtime.server.keys import KeySettings, single_key


class LeaderKey:
    """Reads a key once, and again when its file changed."""

    def __init__(self, settings: KeySettings, now: float) -> None:
        """Read the file. Raises: `ConfigurationError` where it is none of keys."""
        self._keys = single_key(settings)
        path = settings.api_key_file
        self._file = None if self._keys or path is None else KeyFile(path)
        if self._file is not None:
            self._keys = self._file.read(now)[:1]

    def headers(self, now: float) -> Headers:
        """Return what a request to a leader carries; nothing without keys."""
        news = self._file.news(now) if self._file else None
        if news is not None:
            self._keys = news[:1]
        return [(b"authorization", b"Bearer " + key.encode()) for key in self._keys]
