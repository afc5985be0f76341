"""Telling an edit from a default."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_operator.drift import differs, was_edited
from radixloom_operator.naming import DIGEST_ANNOTATION


def wanted(**spec):
    return {"kind": "X", "metadata": {"annotations": {DIGEST_ANNOTATION: "d1"}}, "spec": spec}


def live(**spec):
    return wanted(**spec)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"a": 1}, {"a": 1, "added": "by the API server"}),
        (
            {"ports": [{"name": "http", "port": 1}]},
            {"ports": [{"name": "http", "port": 1, "p": 2}]},
        ),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "B"}, {"name": "A", "value": "1"}]},
        ),
        ({"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}),
        ({"emptyDir": {}}, {"emptyDir": {}}),
        ({"namespaceSelector": {}}, {}),
        ({"requests": {"cpu": "0.5"}}, {"requests": {"cpu": "500m"}}),
        ({"requests": {"memory": "1024Mi"}}, {"requests": {"memory": "1Gi"}}),
        ({"limits": {"google.com/tpu": "4"}}, {"limits": {"google.com/tpu": "4"}}),
        ({"emptyDir": {"sizeLimit": "1000Mi"}}, {"emptyDir": {"sizeLimit": "1000Mi"}}),
    ],
)
def test_what_others_add_is_no_drift(ours, theirs):
    assert not differs(wanted(**ours), live(**theirs))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"ports": [{"name": "http", "port": 1}]}, {"ports": [{"name": "http", "port": 2}]}),
        ({"ports": [{"name": "http", "port": 1}]}, {"ports": []}),
        ({"args": ["serve"]}, {"args": ["serve", "--more"]}),
        ({"args": ["a", "b"]}, {"args": ["b", "a"]}),
        ({"selector": {"a": "b"}}, {"selector": None}),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}}),
        ({"env": [{"name": "A", "value": "1000m"}]}, {"env": [{"name": "A", "value": "1"}]}),
        ({"flag": True}, {}),
    ],
)
def test_what_others_change_is_drift(ours, theirs):
    assert differs(wanted(**ours), live(**theirs))
    assert was_edited(wanted(**ours), live(**theirs))


def test_a_field_that_we_want_no_more_is_noticed_by_the_digest():
    before = live(a=1, b=2)
    now = wanted(a=1)
    now["metadata"]["annotations"][DIGEST_ANNOTATION] = "d2"
    assert differs(now, before)
    assert not was_edited(now, before)


def test_an_object_without_our_digest_differs():
    assert differs(wanted(a=1), {"metadata": {}, "spec": {"a": 1}})


DOCUMENTS = st.recursive(
    st.integers() | st.text(max_size=5) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(deadline=None)  # the machine may be busy
@given(spec=st.dictionaries(st.text(max_size=5), DOCUMENTS))
def test_an_object_never_differs_from_itself_nor_from_itself_with_more(spec):
    document = wanted(**spec)
    grown = copy.deepcopy(document)
    grown["status"] = {"x": 1}
    assert not differs(document, document)
    assert not differs(document, grown)
