"""Names for what a kernel is written with: refs, scalars, copies, and loops over them."""

from collections.abc import Callable
from typing import Any

import jax

Ref = Any
"""A piece of memory of the kernel, or a view of one."""
Scalar = Any
"""A traced int32, or a Python int."""
Copy = Any
"""An asynchronous copy: `start` begins it, `wait` returns when it is done."""


def each(first: Scalar, past: Scalar, do: Callable[[Scalar], None]) -> None:
    """Do something for each of first ... past - 1, one after another."""

    def step(index: Scalar, _: None) -> None:
        do(index)

    jax.lax.fori_loop(first, past, step, None)


def start(copy: Copy) -> None:
    """Begin a copy."""
    copy.start()


def wait(copy: Copy) -> None:
    """Wait until a copy is done."""
    copy.wait()
