import json

import pytest

from radixloom_runtime.errors import OverloadedError, RequestError
from radixloom_runtime.server import dialects
from radixloom_runtime.server.keys import UnauthorizedError
from radixloom_runtime.server.problems import (
    BodyTooLargeError,
    EngineLostError,
    InternalError,
    ModelNotFoundError,
    RequestTimeoutError,
    UnavailableError,
)

ERRORS = [
    (RequestError("x"), 400, "invalid_request_error"),
    (UnauthorizedError("x"), 401, "authentication_error"),
    (ModelNotFoundError("x"), 404, "not_found_error"),
    (RequestTimeoutError("x"), 408, "timeout_error"),
    (BodyTooLargeError("x"), 413, "request_too_large"),
    (OverloadedError("x", retry_after_seconds=2.5), 429, "rate_limit_error"),
    (EngineLostError("x"), 500, "api_error"),
    (InternalError("req-1"), 500, "api_error"),
    (UnavailableError("x", code="starting", retry_after_seconds=5), 503, "overloaded_error"),
]


@pytest.mark.parametrize(("error", "status", "kind"), ERRORS, ids=[kind for *_, kind in ERRORS])
def test_under_anthropics_paths_an_error_has_anthropics_form(error, status, kind):
    answer = dialects.error_response(error, "/v1/messages/count_tokens")
    assert answer.status_code == status
    assert json.loads(bytes(answer.body)) == {
        "type": "error",
        "error": {"type": kind, "message": str(error)},
    }


def test_elsewhere_it_has_openais():
    answer = dialects.error_response(RequestError("no", param="p", code="c"), "/v1/messages2")
    assert json.loads(bytes(answer.body)) == {
        "error": {
            "message": "no",
            "type": "invalid_request_error",
            "param": "p",
            "code": "c",
        }
    }


def test_when_to_come_again_is_told_in_either_form():
    error = OverloadedError("full", retry_after_seconds=2.5)
    for path in ("/v1/messages", "/v1/completions"):
        assert dialects.error_response(error, path).headers["retry-after"] == "3"
