"""Every slice's pods follow from those of slice 0, by name alone."""

import pytest
from support.llmservice_cases import manifest, tpu

from radixloom_operator.api.hardware import slice_of
from radixloom_operator.api.validation import Problem, read
from radixloom_operator.desired.pod import pod_template
from radixloom_operator.desired.template import template_of_slice
from radixloom_operator.settings import OperatorSettings

SETTINGS = OperatorSettings()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"spec.tpu": {"generation": "cpu", "hosts": 3}},
        tpu("v5e", "4x4"),
        {**tpu("v5p", "2x2x2"), "metadata.name": "s0"},
        {**tpu("v6e", "2x2"), "spec.tpu.exclusiveNodePool": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("index", [0, 1, 12])
def test_a_slices_template_is_what_would_be_rendered_for_it(change, index):
    service = read(manifest(change))
    assert not isinstance(service, Problem)
    hardware = slice_of(service.spec.tpu)
    first = pod_template(service, hardware, 0, SETTINGS)
    own = pod_template(service, hardware, index, SETTINGS)
    assert template_of_slice(first, service.name, index) == own
    assert first == pod_template(service, hardware, 0, SETTINGS), "the first is not touched"
