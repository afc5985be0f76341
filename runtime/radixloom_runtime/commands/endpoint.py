"""What the commands that talk to a server share: its model, its errors, its event streams."""

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx

from radixloom_runtime.errors import ConfigurationError

DONE = "[DONE]"
CONNECT_SECONDS = 10.0


def headers() -> dict[str, str]:
    """Say who asks, where the user's environment has a key."""
    key = os.environ.get("OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def timeout(read_seconds: float | None = None) -> httpx.Timeout:
    """Wait long for tokens (default: for ever), but not for a connection."""
    return httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)


def client() -> httpx.Client:
    """Make a client that waits for tokens as long as it takes."""
    return httpx.Client(timeout=timeout(), headers=headers())


def only_model(address: str) -> str:
    """Ask the server which model it serves.

    Raises: `ConfigurationError` when nobody answers, or when there is no first model.
    """
    try:
        with httpx.Client(timeout=timeout(30.0), headers=headers()) as client:
            answer = client.get(f"{address}/models")
    except httpx.TransportError as error:
        raise nobody_answers(address, error) from error
    try:
        return str(answer.raise_for_status().json()["data"][0]["id"])
    except (httpx.HTTPStatusError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(
            f"{address}/models gives no model (HTTP {answer.status_code}); is it an OpenAI"
            " endpoint, and ready? Or name the model with --model"
        ) from error


def nobody_answers(address: str, error: httpx.TransportError) -> ConfigurationError:
    """Say what to do where there is no server."""
    return ConfigurationError(
        f"no server answers at {address} ({error or type(error).__name__});"
        " start one with `radixloom serve`, or give its address with --url"
    )


def problem(status: int, body: bytes) -> str:
    """Take the message out of an error answer; OpenAI's form where it has it."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        message = body.decode(errors="replace").strip()[:300] or "no reason given"
    return f"HTTP {status}: {message}"


class EventDecoder:
    """Cut a byte stream into the data of its server-sent events, however it is chunked.

    Splits at newlines alone: text decoders of HTTP libraries also split at the other line
    separators of Unicode, which an answer may contain.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Give the data of each event line that is complete now."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[len(b"data:") :].strip().decode()


def parsed(event: str) -> dict[str, Any]:
    """Read one event's JSON.

    Raises: `ValueError` with the message of an error event, or for what is no JSON object.
    """
    value = json.loads(event)
    error = value.get("error") if isinstance(value, dict) else f"an event {event[:80]!r}"
    if error:
        raise ValueError(error.get("message", str(error)) if isinstance(error, dict) else error)
    return value
