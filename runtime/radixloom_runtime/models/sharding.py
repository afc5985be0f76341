"""Which part of a weight each device holds: named axes, and the one table that shares them out.

    mesh     data       groups: copies of the attention, each with requests of its own
             expert     with tensor: the devices that one group spans

    heads, mlp, vocab   cut over expert and tensor together     ("column parallel", "row parallel")
    kv_heads            the same; where there are fewer heads than devices, devices share a head
    experts             cut over data and expert: all groups together have each expert once
    expert_mlp          the inside of each expert, cut over tensor
    groups              rows and pages: each group has its own
    vocab, expert_mlp   filled up with zeros where they do not divide
    embed and others    whole on every device

Numbers alone: what devices do with their parts is in `collectives`, how they come to them in
`runner.weights`.
"""

from dataclasses import dataclass

from radixloom_runtime.errors import ConfigurationError

MESH_AXES = ("data", "expert", "tensor")

_COPY = ("expert", "tensor")


@dataclass(frozen=True, slots=True)
class Rule:
    """How a named axis is shared out."""

    mesh_axes: tuple[str, ...] = ()
    """Over the devices along these; none: every device holds the whole."""
    is_shared: bool = False
    """Fewer things than devices: several devices hold the same one."""
    is_padded: bool = False
    """Uneven: the last devices hold less, filled up with zeros."""


WHOLE = Rule()

RULES: dict[str, Rule] = {
    "heads": Rule(_COPY),
    "kv_heads": Rule(_COPY, is_shared=True),
    "mlp": Rule(_COPY),
    "vocab": Rule(_COPY, is_padded=True),
    "experts": Rule(("data", "expert")),
    "expert_mlp": Rule(("tensor",), is_padded=True),
    "groups": Rule(("data",)),
    "embed": WHOLE,
    "head_dim": WHOLE,
    "latent": WHOLE,
    "router": WHOLE,
    "one": WHOLE,
    "taps": WHOLE,
    "layers": WHOLE,
    "adapters": WHOLE,
    "rank": WHOLE,
}


@dataclass(frozen=True, slots=True)
class MeshShape:
    """How many devices lie along each axis of the mesh."""

    data: int = 1
    expert: int = 1
    tensor: int = 1

    @property
    def sizes(self) -> tuple[int, int, int]:
        """In the order of `MESH_AXES`."""
        return self.data, self.expert, self.tensor

    @property
    def num_devices(self) -> int:
        """Devices in all."""
        return self.data * self.expert * self.tensor

    def num_shards(self, name: str) -> int:
        """Return in how many parts the axis `name` is cut."""
        total = 1
        for mesh_axis in RULES[name].mesh_axes:
            total *= self.sizes[MESH_AXES.index(mesh_axis)]
        return total


ONE_DEVICE = MeshShape()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one device stands in a mesh."""

    shape: MeshShape
    coordinates: tuple[int, int, int]
    """In the order of `MESH_AXES`."""

    def shard(self, name: str) -> int:
        """Return which part of the axis `name` it holds; the last mesh axis runs fastest."""
        index = 0
        for mesh_axis in RULES[name].mesh_axes:
            along = MESH_AXES.index(mesh_axis)
            index = index * self.shape.sizes[along] + self.coordinates[along]
        return index


@dataclass(frozen=True, slots=True)
class Axis:
    """`count` things of `unit` numbers each, one after another; no thing is ever cut in two."""

    name: str
    count: int
    unit: int = 1

    @property
    def size(self) -> int:
        """Numbers in all."""
        return self.count * self.unit

    def local_count(self, num_shards: int) -> int:
        """Return the things that one of `num_shards` parts has. Raises: `ConfigurationError`."""
        rule = RULES[self.name]
        if rule.is_padded or self.count % num_shards == 0:
            return -(-self.count // num_shards)
        if rule.is_shared and num_shards % self.count == 0:
            return 1
        raise ConfigurationError(
            f"{self.count} {self.name} cannot be shared out evenly over {num_shards} devices"
        )

    def local_size(self, num_shards: int) -> int:
        """Return the numbers that one of `num_shards` parts has. Raises: `ConfigurationError`."""
        return self.local_count(num_shards) * self.unit

    def in_groups(self, size: int) -> "Axis":
        """Return the axis of a number for each `size` of these, which is cut where this one is."""
        if self.unit % size == 0:
            return Axis(self.name, self.count, self.unit // size)
        return Axis(self.name, self.size // size)

    def held(self, shard: int, num_shards: int) -> slice:
        """Return the numbers that part `shard` has; a padded one may have fewer than its size."""
        count = self.local_count(num_shards)
        is_shared = num_shards > self.count and RULES[self.name].is_shared
        first = shard * self.count // num_shards if is_shared else min(shard * count, self.count)
        stop = min(first + count, self.count)
        return slice(first * self.unit, stop * self.unit)


Dim = tuple[Axis, ...]
"""One dimension of an array: axes that lie end to end, each shared out by itself."""


def dim_size(dim: Dim) -> int:
    """Return the length of a dimension."""
    return sum(axis.size for axis in dim)


def local_dim_size(dim: Dim, shape: MeshShape) -> int:
    """Return the length that one device holds. Raises: `ConfigurationError`."""
    return sum(axis.local_size(shape.num_shards(axis.name)) for axis in dim)


def mesh_axes_of(dim: Dim) -> tuple[str, ...]:
    """Return the mesh axes that a dimension is cut over."""
    (found,) = {RULES[axis.name].mesh_axes for axis in dim}  # one dimension is cut in one way
    return found
