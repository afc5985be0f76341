"""A control plane without nodes starts only where it can, and says why it cannot."""

from dataclasses import astuple

import pytest

from hack.cluster.bare import _free_ports, bare_cluster
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout


@pytest.fixture
def layout(tmp_path, monkeypatch) -> Layout:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Layout.default()


def test_without_programs_it_says_where_they_come_from(layout):
    with pytest.raises(ClusterError, match=r"hack\.cluster binaries"), bare_cluster():
        pass


def test_its_ports_differ_and_are_none_that_linux_gives_to_connections():
    ports = astuple(_free_ports())
    assert len(set(ports)) == len(ports) == 4
    assert max(ports) < 32768
