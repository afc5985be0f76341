"""Render the chart with the helm of this environment."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.helm import CHART, helm

Manifests = list[dict[str, Any]]


@pytest.fixture(scope="session")
def render() -> Callable[..., Manifests]:
    """Return `helm template` with `--set` values, parsed; rendered once for each set of values."""
    known: dict[tuple[str, ...], Manifests] = {}

    def rendered(*values: str, namespace: str = "radixloom-system") -> Manifests:
        key = (namespace, *values)
        if key not in known:
            settings = [part for value in values for part in ("--set", value)]
            done = helm("template", "radixloom", CHART, "--namespace", namespace, *settings)
            assert done.returncode == 0, done.stderr
            known[key] = [one for one in yaml.safe_load_all(done.stdout) if one]
        return known[key]

    return rendered
