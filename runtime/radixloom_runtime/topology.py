"""TPU slices: from a generation and a topology to hosts, chips, and what GKE and libtpu call them.

One row per generation; a new generation is one row. Source of the rows: GKE's pages "TPUs in GKE"
and the TPU pages of each generation.

A slice is a box of chips; a host holds a smaller box of them (its bounds). The number of hosts
along each side is the quotient.

    v5e 4x4, hosts of 4 chips (2x2)        host bounds 2,2,1 · chips per host 2,2,1 · 4 hosts
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Generation(StrEnum):
    """What a slice computes on."""

    CPU = "cpu"
    V4 = "v4"
    V5E = "v5e"
    V5P = "v5p"
    V6E = "v6e"
    V7X = "v7x"


class TopologyError(ValueError):
    """No such slice exists; the message says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What a generation is called, and how its hosts are built."""

    label: str
    """Value of the node label `cloud.google.com/gke-tpu-accelerator`."""
    type_prefix: str
    """`<prefix>-<units>` is what libtpu reads as TPU_ACCELERATOR_TYPE."""
    units_per_chip: int
    """v4, v5p and v7x count TensorCores (two a chip) there, v5e and v6e count chips."""
    dimensions: int
    """2: a grid `AxB`; 3: a torus `AxBxC`."""
    host_chips: tuple[int, ...]
    """Chips of the host machines there are."""
    hbm_bytes: int
    """Memory of one JAX device that programs may use: the limit that XLA:TPU itself states."""
    compiler_name: str
    """What libtpu's compiler calls the generation."""
    devices_per_chip: int = 1
    """JAX devices of one chip."""
    compiler_options: tuple[tuple[str, str], ...] = ()
    """What the compiler must be told beside the name: v4 runs its two cores as one device."""


def _gib(number: float) -> int:
    return int(number * (1 << 30))


ACCELERATORS: dict[Generation, Accelerator] = {
    Generation.V4: Accelerator(
        "tpu-v4-podslice",
        "v4",
        2,
        3,
        (4,),
        _gib(30.75),
        "v4",
        compiler_options=(("chip_config_name", "megacore"),),
    ),
    Generation.V5E: Accelerator(
        "tpu-v5-lite-podslice", "v5litepod", 1, 2, (1, 4, 8), _gib(15.75), "v5e"
    ),
    Generation.V5P: Accelerator("tpu-v5p-slice", "v5p", 2, 3, (4,), _gib(95.74), "v5p"),
    Generation.V6E: Accelerator("tpu-v6e-slice", "v6e", 1, 2, (1, 4, 8), _gib(31.25), "v6e"),
    Generation.V7X: Accelerator(
        "tpu7x", "tpu7x", 2, 3, (1, 4), _gib(94.75), "tpu7x", devices_per_chip=2
    ),
}

GRID_TOPOLOGIES = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
"""Every slice of v5e and v6e."""
SMALL_TORUS_TOPOLOGIES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")
"""Tori below one cube of 64 chips; above, each side is a multiple of 4."""
SINGLE_CHIP_TORUS = "1x1x1"
"""Where hosts of one chip exist (v7x)."""

_HOST_BOUNDS = {1: (1, 1, 1), 4: (2, 2, 1), 8: (2, 4, 1)}
_AMBIGUOUS = "2x4"


@dataclass(frozen=True, slots=True)
class Slice:
    """One replica's hardware, as the pods and the status need it."""

    generation: Generation
    topology: str
    """`2x4`, or empty on CPU."""
    hosts: int
    chips_per_host: int
    """0 on CPU."""
    accelerator: Accelerator | None
    """None on CPU."""

    @property
    def chips(self) -> int:
        """Chips of the whole slice; 0 on CPU."""
        return self.hosts * self.chips_per_host

    @property
    def devices(self) -> int:
        """JAX devices of the whole slice; on CPU one per host."""
        if self.accelerator is None:
            return self.hosts
        return self.chips * self.accelerator.devices_per_chip

    @property
    def accelerator_type(self) -> str:
        """What libtpu reads as TPU_ACCELERATOR_TYPE, such as `v5litepod-8`; `cpu` on CPU."""
        if self.accelerator is None:
            return Generation.CPU.value
        return f"{self.accelerator.type_prefix}-{self.chips * self.accelerator.units_per_chip}"

    @property
    def chip_bounds(self) -> tuple[int, int, int]:
        """Chips of one host along x, y, z."""
        return _HOST_BOUNDS[self.chips_per_host]

    @property
    def host_bounds(self) -> tuple[int, int, int]:
        """Hosts of the slice along x, y, z."""
        x, y, z = _sides(self.topology)
        across, down, deep = self.chip_bounds
        return max(1, x // across), max(1, y // down), max(1, z // deep)

    @property
    def summary(self) -> str:
        """One line for people: `v5e 2x4 (2 hosts x 4 chips)`, `cpu x1`."""
        if self.accelerator is None:
            return f"cpu x{self.hosts}"
        hosts = f"{self.hosts} host{'s' if self.hosts > 1 else ''}"
        chips = f"{self.chips_per_host} chip{'s' if self.chips_per_host > 1 else ''}"
        return f"{self.generation} {self.topology} ({hosts} x {chips})"


def cpu_slice(hosts: int = 1) -> Slice:
    """Return a slice of ordinary machines, for development and tests."""
    return Slice(Generation.CPU, "", hosts, 0, None)


def tpu_slice(generation: Generation, topology: str, chips_per_host: int | None = None) -> Slice:
    """Work out the slice of `topology`; `chips_per_host` where there is a choice.

    Raises:
        TopologyError: no such slice exists, or it is not said which of two it is.
    """
    accelerator = ACCELERATORS[generation]
    _check_topology(generation, accelerator, topology)
    chips = math.prod(_sides(topology))
    per_host = _chips_per_host(generation, accelerator, topology, chips, chips_per_host)
    return Slice(generation, topology, chips // per_host, per_host, accelerator)


def topologies(generation: Generation, *, longest_side: int = 16) -> tuple[str, ...]:
    """List the topologies of a generation, tori up to `longest_side`, smallest first."""
    accelerator = ACCELERATORS[generation]
    if accelerator.dimensions == 2:
        return GRID_TOPOLOGIES
    sides = range(4, longest_side + 1, 4)
    cubes = [(x, y, z) for x in sides for y in sides for z in sides if x <= y <= z]
    large = ("x".join(map(str, cube)) for cube in sorted(cubes, key=math.prod))
    single = (SINGLE_CHIP_TORUS,) if 1 in accelerator.host_chips else ()
    return (*single, *SMALL_TORUS_TOPOLOGIES, *large)


def _sides(topology: str) -> tuple[int, int, int]:
    sides = [int(side) for side in topology.split("x")]
    return (*sides, 1)[0], (*sides, 1, 1)[1], (*sides, 1, 1)[2]


def _check_topology(generation: Generation, accelerator: Accelerator, topology: str) -> None:
    if accelerator.dimensions == 2:
        if topology not in GRID_TOPOLOGIES:
            raise TopologyError(
                f"{generation} has no topology {topology!r}; take one of"
                f" {', '.join(GRID_TOPOLOGIES)}"
            )
        return
    small = topologies(generation, longest_side=0)
    sides = topology.split("x")
    is_torus = len(sides) == accelerator.dimensions and all(_is_side(side) for side in sides)
    if topology not in small and not (is_torus and all(int(side) % 4 == 0 for side in sides)):
        raise TopologyError(
            f"{generation} has no topology {topology!r}; take one of {', '.join(small)},"
            " or AxBxC with every side a multiple of 4"
        )


def _is_side(text: str) -> bool:
    return text.isascii() and text.isdigit() and not text.startswith("0")


def _chips_per_host(
    generation: Generation,
    accelerator: Accelerator,
    topology: str,
    chips: int,
    wanted: int | None,
) -> int:
    if wanted is None and topology == _AMBIGUOUS:
        raise TopologyError(
            f"{generation} {topology} is one host of 8 chips or two hosts of 4;"
            " set chipsPerHost to 8 or 4"
        )
    choices = _host_choices(accelerator, topology, chips)
    if wanted is not None and wanted not in choices:
        raise TopologyError(
            f"{generation} {topology} has hosts of {' or '.join(map(str, choices))} chips,"
            f" not {wanted}; set chipsPerHost to {choices[0]} or leave it out"
        )
    return wanted or choices[0]


def _host_choices(accelerator: Accelerator, topology: str, chips: int) -> tuple[int, ...]:
    """Chips per host that a slice can have: several hosts have 4 each, whatever the generation."""
    if topology == _AMBIGUOUS:
        return (4, 8)
    return (min(chips, 4),) if min(chips, 4) in accelerator.host_chips else ()
