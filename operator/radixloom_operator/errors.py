"""Everything the operator raises on purpose.

    OperatorError
    ├── NotLeadingError         another operator may be writing by now, and this is its work
    └── ClusterError            the API server's answer was not yes
        ├── RefusedError        what we asked for is not allowed: shown on the service's status
        └── NameTakenError      an object of that name belongs to somebody else: shown as well

A wrong spec is no error: it is a `Problem` (api/validation.py) and becomes `Accepted=False`.
"""


class OperatorError(Exception):
    """Root of all errors raised on purpose."""


class NotLeadingError(OperatorError):
    """This operator does not hold the lease, or cannot know that it still does."""


class ClusterError(OperatorError):
    """The API server did not do what it was asked; most often it will when asked again."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 when there was no answer."""
        self.reason = reason
        """The API server's word for it, such as `AlreadyExists`; empty when it gave none."""


class RefusedError(ClusterError):
    """The API server understood and refused: invalid, forbidden, over a quota."""


class NameTakenError(ClusterError):
    """An object of the wanted name exists and belongs to somebody else."""
