"""The definition's own rules take what is sound and refuse what is not, with the sentence meant."""

import re

import pytest
from support.crd_rules import refusals
from support.llmservice_cases import SOUND, manifest
from support.refused_llmservices import REFUSED

from radixloom_operator.api.schema import crd_yaml

SENTENCES = re.findall(r"^\s*message: (.*)$", crd_yaml(), flags=re.MULTILINE)


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.title)
def test_what_is_sound_is_taken(case):
    assert refusals(manifest(case.change)) == []


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.title)
def test_what_is_not_is_refused(case):
    said = refusals(manifest(case.change))
    assert said != []
    if case.refusal in " ".join(SENTENCES):  # else the schema refuses, in the API server's words
        assert case.refusal in " ".join(said)


def test_a_rule_refuses_with_its_own_sentence():
    change = {"spec.tpu": {"generation": "v5e", "topology": "2x4"}}
    (said,) = refusals(manifest(change))
    assert said == "2x4 is one host of 8 chips or two hosts of 4; set chipsPerHost to 8 or 4"
