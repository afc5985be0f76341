"""Names fit where Kubernetes puts them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_operator import naming

LONGEST = "a" * naming.MAX_NAME_LENGTH
LABEL_LENGTH = 63


@settings(deadline=None)  # the machine may be busy
@given(index=st.integers(0, 999), host=st.integers(0, 127))
def test_names_of_the_longest_service_fit_into_labels(index, host):
    controller_hash = "-0123456789"
    assert len(naming.pod_name(LONGEST, index, host)) <= LABEL_LENGTH
    assert len(naming.slice_name(LONGEST, index) + controller_hash) <= LABEL_LENGTH


def test_service_names_of_the_longest_service_fit():
    for name in (naming.hosts_service_name(LONGEST), naming.wire_secret_name(LONGEST)):
        assert len(name) <= LABEL_LENGTH


def test_leader_selector_names_one_pod_of_each_slice():
    text = naming.selector_text(naming.leader_selector("chat"))
    assert text == "serving.radixloom.dev/service=chat,apps.kubernetes.io/pod-index=0"
