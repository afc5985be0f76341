"""The table of TPU slices."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixloom_runtime.topology import (
    ACCELERATORS,
    Generation,
    TopologyError,
    cpu_slice,
    topologies,
    tpu_slice,
)

TABLE = [
    # generation, topology, chips per host, hosts, accelerator type, hosts along the sides, devices
    ("v4", "2x2x1", None, 1, "v4-8", (1, 1, 1), 4),
    ("v4", "2x2x2", None, 2, "v4-16", (1, 1, 2), 8),
    ("v4", "2x4x4", None, 8, "v4-64", (1, 2, 4), 32),
    ("v4", "8x8x8", None, 128, "v4-1024", (4, 4, 8), 512),
    ("v5e", "1x1", None, 1, "v5litepod-1", (1, 1, 1), 1),
    ("v5e", "2x2", None, 1, "v5litepod-4", (1, 1, 1), 4),
    ("v5e", "2x4", 8, 1, "v5litepod-8", (1, 1, 1), 8),
    ("v5e", "2x4", 4, 2, "v5litepod-8", (1, 2, 1), 8),
    ("v5e", "4x4", None, 4, "v5litepod-16", (2, 2, 1), 16),
    ("v5e", "16x16", None, 64, "v5litepod-256", (8, 8, 1), 256),
    ("v5p", "2x2x4", None, 4, "v5p-32", (1, 1, 4), 16),
    ("v5p", "4x4x4", 4, 16, "v5p-128", (2, 2, 4), 64),
    ("v6e", "4x8", None, 8, "v6e-32", (2, 4, 1), 32),
    ("v7x", "1x1x1", None, 1, "tpu7x-2", (1, 1, 1), 2),
    ("v7x", "2x2x1", None, 1, "tpu7x-8", (1, 1, 1), 8),
    ("v7x", "4x4x4", None, 16, "tpu7x-128", (2, 2, 4), 128),
]


@pytest.mark.parametrize(
    ("generation", "topology", "per_host", "hosts", "kind", "bounds", "devices"), TABLE
)
def test_slice_follows_the_table(generation, topology, per_host, hosts, kind, bounds, devices):
    found = tpu_slice(Generation(generation), topology, per_host)
    assert (found.hosts, found.accelerator_type) == (hosts, kind)
    assert (found.host_bounds, found.devices) == (bounds, devices)


@settings(deadline=None)  # the machine may be busy
@given(st.sampled_from(list(ACCELERATORS)), st.data())
def test_hosts_tile_the_slice_exactly(generation, data):
    topology = data.draw(st.sampled_from(topologies(generation, longest_side=8)))
    per_host = data.draw(st.sampled_from([4, 8])) if topology == "2x4" else None
    found = tpu_slice(generation, topology, per_host)
    sides = [int(side) for side in topology.split("x")]
    tiled = [
        hosts * chips for hosts, chips in zip(found.host_bounds, found.chip_bounds, strict=True)
    ]
    assert tiled == [*sides, 1][:3]
    assert math.prod(found.host_bounds) == found.hosts
    assert found.chips == math.prod(sides)


def test_cpu_slice_has_no_chips():
    found = cpu_slice(2)
    assert (found.hosts, found.chips, found.devices) == (2, 0, 2)
    assert (found.summary, found.accelerator_type) == ("cpu x2", "cpu")


def test_summary_reads_well():
    assert tpu_slice(Generation.V5E, "2x4", 4).summary == "v5e 2x4 (2 hosts x 4 chips)"
    assert tpu_slice(Generation.V6E, "1x1").summary == "v6e 1x1 (1 host x 1 chip)"


@pytest.mark.parametrize(
    ("generation", "topology", "per_host", "sentence"),
    [
        ("v5e", "2x4", None, "set chipsPerHost to 8 or 4"),
        ("v5e", "2x2x2", None, "take one of 1x1"),
        ("v6e", "2x2", 8, "leave it out"),
        ("v4", "1x1x1", None, "take one of 2x2x1"),
        ("v5p", "4x4x6", None, "a multiple of 4"),
        ("v5p", "04x4x4", None, "a multiple of 4"),
        ("v4", "4x4", None, "a multiple of 4"),
        ("v7x", "", None, "take one of 1x1x1"),
        ("v4", "٤x4x4", None, "a multiple of 4"),
    ],
)
def test_impossible_slice_is_refused_with_a_way_out(generation, topology, per_host, sentence):
    with pytest.raises(TopologyError, match=sentence):
        tpu_slice(Generation(generation), topology, per_host)
