"""Who sends a request: for fairness between users, not for authentication.

`user` of the body is taken at its word, as a gateway in front sets it; without one, requests with
the same API key are one user, and all the rest are one. Keys are only ever seen as their hash.
"""

import hashlib

from starlette.requests import Request

from radixloom_runtime.server.keys import presented_key

_HASH_CHARACTERS = 16


def user_of(request: Request, user: str | None) -> str:
    """Name the user that a request is counted for; empty for nobody in particular."""
    if user:
        return f"user:{user}"
    key = presented_key(request.headers)
    if not key:
        return ""
    return f"key:{hashlib.sha256(key.encode()).hexdigest()[:_HASH_CHARACTERS]}"
