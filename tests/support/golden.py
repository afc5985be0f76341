"""Golden files: what a function makes, checked in and reviewed as a diff.

`RADIXLOOM_UPDATE_GOLDEN=1 pytest …` writes them anew; the diff is then for people to judge.
"""

import os
from pathlib import Path

import pytest


def assert_golden(path: Path, text: str) -> None:
    """Fail unless `path` holds `text`."""
    if os.environ.get("RADIXLOOM_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if not path.exists():
        pytest.fail(f"{path} is missing; run the test with RADIXLOOM_UPDATE_GOLDEN=1")
    assert text == path.read_text(), f"{path.name} differs; RADIXLOOM_UPDATE_GOLDEN=1 rewrites it"
