import inspect
import re

from radixloom_runtime import errors
from radixloom_runtime.errors import OverloadedError, RadixloomError, RequestError


def _defined() -> dict[str, type]:
    return {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }


def test_the_drawn_tree_is_the_tree():
    depths = {
        match[2]: len(match[1]) // 4 - 1
        for match in re.finditer(r"^([ │├└─]+)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    }
    assert depths.keys() == _defined().keys()
    for name, kind in _defined().items():
        ancestors = [base for base in kind.__mro__[1:] if issubclass(base, RadixloomError)]
        assert len(ancestors) == depths[name], name


def test_a_request_error_names_parameter_and_code():
    error = RequestError("too hot", param="temperature", code="invalid_value")
    assert (str(error), error.status) == ("too hot", 400)
    assert (error.param, error.code) == ("temperature", "invalid_value")


def test_an_overload_says_when_to_come_again():
    error = OverloadedError("the queue is full", retry_after_seconds=2)
    assert (error.status, error.code) == (429, "queue_full")
    assert str(error) == "the queue is full (retry after 2 s)"
