"""Which revision an undo goes back to."""

import pytest

from radixloom_operator.api.status_types import LLMServiceStatus
from radixloom_operator.naming import REVISION_LABEL
from radixloom_operator.plugin.undo import UndoError, target


def remembered(*names):
    return [
        {"revision": number, "metadata": {"labels": {REVISION_LABEL: name}}}
        for number, name in enumerate(names, 1)
    ]


def status(current, update):
    return LLMServiceStatus(current_revision=current, update_revision=update)


def test_the_last_revision_before_the_present_one_is_taken():
    assert target(status("c", "c"), remembered("a", "b", "c"), None) == "b"


def test_a_change_under_way_goes_back_to_what_served_before_it():
    assert target(status("a", "c"), remembered("a", "b", "c"), None) == "a"


def test_the_order_is_that_of_the_revisions_not_of_the_list():
    assert target(status("c", "c"), [*reversed(remembered("a", "b", "c"))], None) == "b"


def test_one_that_is_named_is_taken_if_it_is_remembered():
    assert target(status("c", "c"), remembered("a", "b", "c"), "a") == "a"
    with pytest.raises(UndoError, match="'z' is not remembered; there are: a, b, c"):
        target(status("c", "c"), remembered("a", "b", "c"), "z")


@pytest.mark.parametrize("names", [(), ("c",)])
def test_without_an_earlier_one_there_is_nothing_to_undo(names):
    with pytest.raises(UndoError, match="nothing is remembered but the present"):
        target(status("c", "c"), remembered(*names), None)
