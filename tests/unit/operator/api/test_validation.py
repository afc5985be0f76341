"""What the operator itself makes of a spec, whatever the API server let through."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.llmservice_cases import SOUND, Case, manifest, tpu
from support.refused_llmservices import REFUSED

from radixloom_operator.api.model import quantity_value
from radixloom_operator.api.types import LLMService
from radixloom_operator.api.validation import Problem, accept

# Rules that need no second look: an object that broke one can still be served as it reads.
HARMLESS = {
    "keys in the environment by hand",
    "a token that nothing needs",
    "a token for a bucket",
    "a revision of a claim",
    "a cache of a claim",
    "a claim for an EmptyDir",
    "a limit for a claim",
    "a topology on cpu",
    "hosts of a TPU slice",
    "chips of a cpu slice",
    "a cpu slice on Spot nodes",
    "parallelism on cpu",
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


@pytest.mark.parametrize(
    ("adapters", "part"),
    [
        ([("sql", "hf://acme/sql"), ("sql", "hf://acme/other")], "two are named 'sql'"),
        ([("tiny", "hf://acme/sql")], "'tiny' is the model's own name"),
        ([("sql", "hf://acme")], "spec.model.adapters[0].source 'hf://acme' is no repository"),
        ([("sql", "pvc://adapters/../sql")], "'..' part"),
    ],
)
def test_an_adapter_that_cannot_be_had_or_told_is_a_problem(
    adapters: list[tuple[str, str]], part: str
):
    told = [{"name": name, "source": source} for name, source in adapters]
    problem = accept(manifest({"spec.model": {"uri": "gs://models/tiny", "adapters": told}}))
    assert isinstance(problem, Problem)
    assert part in problem.message


def _weights(size: str, generation: str, topology: str, **engine: list[Any]) -> str | None:
    """Return why weights of that size are refused."""
    change = {
        **tpu(generation, topology),
        "spec.model.weightsSize": size,
        **{f"spec.engine.{name}": value for name, value in engine.items()},
    }
    found = accept(manifest(change))
    if isinstance(found, LLMService):
        return None
    assert found.reason == "InsufficientHBM"
    return found.message


def test_weights_that_no_device_of_the_slice_holds_are_refused_before_there_is_a_pod():
    assert _weights("15.3Gi", "v6e", "1x1") is None
    message = _weights("15.3Gi", "v5e", "1x1")
    assert message
    assert "weights of 15.30 GiB are wanted on each device, of whose 15.75 GiB 14.17" in message
    assert "take a slice of at least 2 such devices, not 1" in message


def test_weights_are_shared_out_over_all_devices_of_a_slice():
    # 2x2x1 of v7x are 8 devices of 94.75 GiB, of which nine tenths may be used
    assert _weights("680Gi", "v7x", "2x2x1") is None
    assert _weights("690Gi", "v7x", "2x2x1")


def _share(value: str) -> list[dict[str, str]]:
    return [{"name": "RADIXLOOM_MEMORY_FRACTION", "value": value}]


@pytest.mark.parametrize(
    "engine",
    [
        {"env": _share("0.98")},
        {"args": ["--memory-fraction=0.98"]},
        {"args": ["--no-warmup", "--memory-fraction", "0.98"], "env": _share("0.5")},
    ],
)
def test_the_share_of_memory_that_the_engine_is_told_counts(engine: dict[str, list[Any]]):
    assert _weights("15.3Gi", "v5e", "1x1", **engine) is None


@pytest.mark.parametrize("share", ["0", "-1", "nan", "inf", "much"])
def test_a_share_of_memory_that_no_engine_takes_stops_no_reconciling(share: str):
    message = _weights("20Gi", "v5e", "1x1", env=_share(share))
    assert message
    assert "memory_fraction 1)" in message


@pytest.mark.parametrize(
    ("quantity", "value"),
    [("15.3Gi", 15.3 * 2**30), ("16G", 16e9), ("500m", 0.5), ("3", 3), ("2Ki", 2048), ("1E", 1e18)],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(quantity: str, value: float):
    assert quantity_value(quantity) == pytest.approx(value)


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
