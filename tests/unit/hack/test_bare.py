"""A control plane without nodes starts only where it can, and says why it cannot."""

import pytest

from hack.cluster.bare import bare_cluster
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout


@pytest.fixture
def layout(tmp_path, monkeypatch) -> Layout:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Layout.default()


def test_without_programs_it_says_where_they_come_from(layout):
    with pytest.raises(ClusterError, match=r"hack\.cluster binaries"), bare_cluster():
        pass
