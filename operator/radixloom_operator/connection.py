"""The connection to the API server: one request, one answer, errors with a type. Blocking.

Safe to share between threads. Whoever writes gives a `Fence`, which is asked right before each
request that changes something; reading is free.
"""

import json
from collections.abc import Callable
from typing import Any, cast

import urllib3
import urllib3.exceptions
from kubernetes import client, config

from radixloom_operator.errors import ClusterError, RefusedError

Manifest = dict[str, Any]
Fence = Callable[[], None]
"""Called before every write; raises where none may be made now."""

JSON = "application/json"
NOT_FOUND = 404
CONFLICT = 409
INVALID = 422
_TIMEOUT_SECONDS = (10.0, 60.0)
_CONVERSION = "unable to convert unstructured object"
"""An apply of a value of the wrong kind, such as a quantity "lots", is answered with status 500."""
_REFUSALS = {400, 403, INVALID}


class Connection:
    """Requests to one API server."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    def open(cls, *, connections: int) -> "Connection":
        """Connect as the pod's service account, or else as the kubeconfig says."""
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            config.load_kube_config(client_configuration=settings)
        settings.connection_pool_maxsize = connections
        # urllib3 would send a write again by itself, long after the fence was asked
        settings.retries = urllib3.Retry(connect=0, read=2, other=0, allowed_methods={"GET"})
        return cls(client.ApiClient(settings))

    def get_or_none(self, path: str) -> Manifest | None:
        """Return the object at `path`; None when there is none."""
        try:
            return self.request("GET", path)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
        timeout_seconds: tuple[float, float] = _TIMEOUT_SECONDS,
    ) -> Manifest:
        """Do one request and return the answer; `timeout_seconds` are to connect and to answer.

        Raises:
            ClusterError: the answer was an error, or there was none.
        """
        headers = {"Accept": JSON, "Content-Type": content_type}
        parameters = self._api.param_serialize(
            method,
            path,
            query_params=query or [],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.call_api(*parameters, _request_timeout=timeout_seconds)
            answer = cast("bytes", response.read())
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(
                f"{method} {path}: no answer from the API server: {error}"
            ) from error
        if response.status >= 400:
            raise error_of(response.status, f"{method} {path}", answer)
        return _parsed(method, path, answer)


def _parsed(method: str, path: str, answer: bytes) -> Manifest:
    try:
        return json.loads(answer) if answer else {}
    except ValueError as error:
        raise ClusterError(f"{method} {path}: the answer is no JSON: {error}") from error


def error_of(status: int, request: str, answer: bytes) -> ClusterError:
    """Return the error for an answer; its sentence is the API server's own."""
    try:
        document = cast("Manifest", json.loads(answer))
        message, reason = str(document.get("message", "")), str(document.get("reason", ""))
    except (ValueError, AttributeError):
        message, reason = answer.decode(errors="replace")[:300], ""
    is_refusal = status in _REFUSALS or _CONVERSION in message
    kind = RefusedError if is_refusal else ClusterError
    return kind(message or f"{request}: status {status}", status=status, reason=reason)
