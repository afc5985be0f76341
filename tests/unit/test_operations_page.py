"""docs/operations.md leaves no condition, reason or alert without a word on what to do."""

from pathlib import Path

import pytest
import yaml

from radixloom_operator import gateways
from radixloom_operator.api.status_types import ConditionType
from radixloom_operator.autoscaling import decision
from radixloom_operator.conditions import DEADLINE, ROLLED_BACK
from radixloom_operator.pod_state import PodReason
from radixloom_operator.story import REFUSALS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
ALERTS = yaml.safe_load((ROOT / "charts" / "radixloom" / "files" / "alerts.yaml").read_text())
REASONS = {one.value for one in PodReason} - {PodReason.READY.value} | {DEADLINE, ROLLED_BACK}
POOL = (
    gateways.MISSING,
    gateways.NOT_APPLIED,
    gateways.NOT_ACCEPTED,
    gateways.NOT_REMOVED,
    gateways.NO_GATEWAY,
)
INACTIVE = (decision.OWNED, decision.UNKNOWN, decision.TO_ZERO, decision.SILENT)


@pytest.mark.parametrize(
    "word",
    sorted(
        {*ConditionType, *REASONS, *REFUSALS, *INACTIVE, *POOL, *(one["alert"] for one in ALERTS)}
    ),
)
def test_the_page_says_what_to_do_of(word):
    assert f"`{word}`" in PAGE
