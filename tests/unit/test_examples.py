"""Every example is taken by the definition and by the operator, and becomes whole slices."""

from pathlib import Path

import pytest
import yaml
from support.crd_rules import refusals

from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import accept
from radixloom_operator.desired import desired_objects
from radixloom_operator.settings import OperatorSettings
from radixloom_runtime.topology import ACCELERATORS, Generation

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))


def read(path):
    (document,) = yaml.safe_load_all(path.read_text())
    return document


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_definition_takes_it(path):
    assert refusals(read(path)) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_operator_makes_every_host_of_every_slice_of_it(path):
    service = accept(read(path))
    assert isinstance(service, LLMService), service
    desired = desired_objects(service, OperatorSettings())
    assert len(desired.slices) == service.spec.replicas
    for one in desired.slices:
        assert one["spec"]["replicas"] == desired.hardware.hosts
        (engine,) = one["spec"]["template"]["spec"]["containers"]
        chips = engine["resources"].get("limits", {}).get("google.com/tpu", 0)
        assert int(chips) == desired.hardware.chips_per_host


def test_there_is_one_of_every_generation():
    generations = {Generation(read(path)["spec"]["tpu"]["generation"]) for path in EXAMPLES}
    assert generations == {Generation.CPU, *ACCELERATORS}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_page_lists_it(path):
    assert f"({path.name})" in (FOLDER / "README.md").read_text()
