"""docs/routing.md names metrics that leaders and routers have."""

import re
from pathlib import Path

from radixloom_runtime.metrics import Metrics
from radixloom_runtime.router.metrics import RouterMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()


def test_every_metric_of_the_page_is_told():
    told = (Metrics().render() + RouterMetrics().render()).decode()
    named = set(re.findall(r"radixloom(?::|_router_)[a-z_]+", PAGE))
    assert {"radixloom:num_queue_reqs", "radixloom_router_held_requests"} <= named
    assert {name for name in named if f"\n{name} " not in told} == set()
