"""Where a server is. Apart from `endpoint`, which loads an HTTP client, so that help is quick."""

from urllib.parse import urlsplit

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import HTTP_PORT

DEFAULT_URL = f"http://127.0.0.1:{HTTP_PORT}/v1"


def api_address(url: str) -> str:
    """Complete what a user gave: `http://host:8000` and `http://host:8000/v1/` mean the same.

    Raises: `ConfigurationError` for what is no HTTP address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"--url {url!r} is no HTTP address; wanted one like {DEFAULT_URL}")
    return url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1"
