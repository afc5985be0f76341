"""Compiled programs are kept in pytest's cache folder, so that a second run is quick."""

from pathlib import Path

import pytest

from radixloom_runtime.runner.compile_cache import use_cache


@pytest.fixture(scope="session", autouse=True)
def compile_cache(request: pytest.FixtureRequest) -> Path:
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir("radixloom-compile")
    use_cache(folder)
    return folder
