"""Who holds what: parts of an axis, and of the tensors that a weight is made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.sharding import MESH_AXES, RULES, Axis, MeshShape, Place


@given(
    count=st.integers(1, 12),
    unit=st.integers(1, 4),
    shards=st.integers(1, 8),
    name=st.sampled_from(["heads", "vocab", "expert_mlp"]),
)
def test_parts_are_the_whole_axis_in_order_and_each_once(count, unit, shards, name):
    axis = Axis(name, count, unit)
    if name == "heads" and count % shards:
        with pytest.raises(ConfigurationError, match=f"{count} heads cannot be shared out"):
            axis.local_count(shards)
        return
    held = [axis.held(shard, shards) for shard in range(shards)]
    numbers = [number for part in held for number in range(axis.size)[part]]
    assert numbers == list(range(axis.size))
    assert all(part.stop - part.start <= axis.local_size(shards) for part in held)


@given(kv_heads=st.integers(1, 8), per_head=st.integers(1, 4), per_device=st.integers(1, 3))
def test_devices_that_share_a_kv_head_hold_the_one_their_query_heads_read(
    kv_heads, per_head, per_device
):
    devices = kv_heads * per_head
    queries = Axis("heads", devices * per_device)
    kv = Axis("kv_heads", kv_heads)
    group = queries.count // kv_heads
    for shard in range(devices):
        (held,) = range(kv_heads)[kv.held(shard, devices)]
        reading = range(queries.count)[queries.held(shard, devices)]
        assert {head // group for head in reading} == {held}


@given(blocks=st.integers(1, 12), shards=st.integers(1, 8), group=st.sampled_from([2, 4, 8]))
def test_numbers_for_groups_lie_with_what_they_are_of(blocks, shards, group):
    inside = Axis("expert_mlp", blocks, unit=8)
    scales = inside.in_groups(group)
    assert scales.size * group == inside.size
    assert scales.local_size(shards) * group == inside.local_size(shards)
    for shard in range(shards):
        held, its = inside.held(shard, shards), scales.held(shard, shards)
        assert (its.start * group, its.stop * group) == (held.start, held.stop)


def test_kv_heads_that_neither_divide_nor_are_divided_are_refused():
    with pytest.raises(ConfigurationError, match="6 kv_heads cannot be shared out evenly over 4"):
        Axis("kv_heads", 6).local_count(4)


def test_every_device_of_a_mesh_has_a_part_of_its_own_along_cut_axes():
    shape = MeshShape(data=2, expert=2, tensor=3)
    places = [Place(shape, (d, e, t)) for d in range(2) for e in range(2) for t in range(3)]
    assert [place.shard("heads") for place in places] == [0, 1, 2, 3, 4, 5] * 2
    assert [place.shard("experts") for place in places] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [place.shard("groups") for place in places] == [0] * 6 + [1] * 6
    assert [place.shard("expert_mlp") for place in places] == [0, 1, 2] * 4
    assert {place.shard("embed") for place in places} == {0}


def test_rules_name_axes_of_the_mesh():
    for rule in RULES.values():
        assert set(rule.mesh_axes) <= set(MESH_AXES)
