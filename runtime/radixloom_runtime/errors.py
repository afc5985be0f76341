"""Everything the runtime raises on purpose.

    RadixloomError
    ├── ConfigurationError      the user's settings or machine: one line and exit code 2
    │   ├── ModelError          the checkpoint: missing, unknown architecture, wrong tensor
    │   └── CapacityError       it does not fit in memory
    ├── RequestError            the client's fault: 4xx in OpenAI's form
    │   ├── ContextLengthError  prompt over the context length
    │   └── OverloadedError     429 with Retry-After
    ├── FetchError              a model source: absent, refused, broken off
    └── EngineError             ours: the process ends loudly, the pod restarts

A message says what was wanted, what was found, and what to do.
"""

from typing_extensions import override


class RadixloomError(Exception):
    """Root of all errors raised on purpose."""


class ConfigurationError(RadixloomError):
    """The settings or the machine cannot serve; the user mends them."""


class ModelError(ConfigurationError):
    """The checkpoint is absent, broken, or of an architecture that is not supported."""


class CapacityError(ConfigurationError):
    """Weights or KV cache do not fit in the memory there is."""


class FetchError(RadixloomError):
    """A model could not be brought from its source."""


class EngineError(RadixloomError):
    """A defect or lost peer inside the engine; the process must end."""


class RequestError(RadixloomError):
    """A request that the client must change.

    `param` names the offending parameter, `code` is OpenAI's machine-readable reason.
    """

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthError(RequestError):
    """Prompt plus wanted answer is longer than the context."""


class OverloadedError(RequestError):
    """Too much at once; try again after `retry_after_seconds`."""

    status = 429
    kind = "rate_limit_error"

    def __init__(
        self, message: str, *, retry_after_seconds: float, code: str = "queue_full"
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds

    @override
    def __str__(self) -> str:
        return f"{super().__str__()} (retry after {self.retry_after_seconds:.0f} s)"
