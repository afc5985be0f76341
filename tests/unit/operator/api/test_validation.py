"""What the operator itself makes of a spec, whatever the API server let through."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.llmservice_cases import REFUSED, SOUND, Case, manifest, tpu

from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import Problem, accept

# Rules that need no second look: an object that broke one can still be served as it reads.
HARMLESS = {
    "a token for a bucket",
    "a revision of a claim",
    "a cache of a claim",
    "a claim for an EmptyDir",
    "a limit for a claim",
    "a topology on cpu",
    "hosts of a TPU slice",
    "chips of a cpu slice",
    "a cpu slice on Spot nodes",
    "TPUs by hand",
    "a variable that the spec decides",
    "a variable with two values",
    "a label of ours",
    "a name with a dot",
    "a name that begins with a digit",
}


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.title)
def test_sound_spec_is_accepted(case: Case):
    assert isinstance(accept(manifest(case.change)), LLMService)


@pytest.mark.parametrize(
    "case", [case for case in REFUSED if case.title not in HARMLESS], ids=lambda case: case.title
)
def test_spec_that_cannot_be_served_is_a_problem(case: Case):
    problem = accept(manifest(case.change))
    assert isinstance(problem, Problem)
    assert problem.message
    assert problem.reason.isalnum()


def test_unknown_field_of_a_newer_version_is_named():
    problem = accept(manifest({"spec.autoscaling": {"maxReplicas": 3}}))
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidSpec"
    assert "spec.autoscaling" in problem.message


def test_all_that_is_wrong_is_told_at_once():
    change = {**tpu("v5e", "2x4"), "spec.model.uri": "hf://tiny"}
    problem = accept(manifest(change))
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidTopology"
    assert "chipsPerHost" in problem.message
    assert "hf://organisation/name" in problem.message


def test_many_mistakes_are_counted_not_listed():
    problem = accept(manifest({f"spec.no{number}": 1 for number in range(9)}))
    assert isinstance(problem, Problem)
    assert problem.message.endswith("and 4 more")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(deadline=None)  # the machine may be busy
@given(spec=JSON)
def test_garbage_is_a_problem_and_never_an_exception(spec):
    assert isinstance(accept(manifest({"spec": spec})), Problem)


FIELDS = ["model", "tpu", "engine", "drain", "replicas", "podTemplate", "compileCache"]


@settings(deadline=None)  # the machine may be busy
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_garbage_in_one_field_never_raises(field, value):
    assert isinstance(accept(manifest({f"spec.{field}": value})), Problem | LLMService)
