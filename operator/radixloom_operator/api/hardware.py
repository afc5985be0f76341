"""`spec.tpu`: the hardware of one replica, and every rule that GKE's TPU slices follow."""

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from radixloom_operator.api.model import ApiModel, cel, rule
from radixloom_runtime.topology import Generation, Slice, cpu_slice, tpu_slice


class Provisioning(StrEnum):
    """How the nodes of a slice are paid for."""

    ON_DEMAND = "OnDemand"
    SPOT = "Spot"
    FLEX_START = "FlexStart"
    RESERVATION = "Reservation"


_TORUS = "(self.generation in ['v4', 'v5p', 'v7x'])"
_GRID = "(self.generation in ['v5e', 'v6e'])"


class TpuSlice(ApiModel):
    """One replica's hardware. Hosts and chips follow from generation and topology."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "(self.generation == 'cpu') != has(self.topology)",
                "topology is required for TPU generations and does not apply to cpu",
            ),
            rule(
                "self.generation == 'cpu' || !has(self.hosts)",
                "hosts applies to cpu only: it follows from the topology of a TPU slice",
            ),
            rule(
                "self.generation != 'cpu' || !has(self.chipsPerHost)",
                "chipsPerHost does not apply to cpu",
            ),
            rule(
                "self.generation != 'cpu'"
                " || (self.provisioning == 'OnDemand' && !has(self.exclusiveNodePool))",
                "provisioning and exclusiveNodePool do not apply to cpu",
            ),
            rule(
                "(self.provisioning == 'Reservation') == has(self.reservation)",
                "reservation is required when provisioning is Reservation, and only then",
            ),
            rule(
                f"!{_GRID} || !has(self.topology) || self.topology in"
                " ['1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16']",
                "v5e and v6e take topology 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16 or 16x16",
            ),
            rule(
                f"!{_TORUS} || !has(self.topology)"
                " || self.topology.matches('^[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*$')",
                "v4, v5p and v7x take a topology of three sides, such as 2x2x1",
            ),
            rule(
                f"!{_TORUS} || !has(self.topology)"
                " || self.topology in ['2x2x1', '2x2x2', '2x2x4', '2x4x4']"
                " || (self.generation == 'v7x' && self.topology == '1x1x1')"
                " || !self.topology.matches('^[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*$')"
                " || self.topology.split('x').all(side, int(side) % 4 == 0)",
                "three-sided topologies are 2x2x1, 2x2x2, 2x2x4, 2x4x4 (v7x: 1x1x1 too), or have"
                " every side a multiple of 4",
            ),
            rule(
                "!has(self.topology) || self.topology != '2x4' || has(self.chipsPerHost)",
                "2x4 is one host of 8 chips or two hosts of 4; set chipsPerHost to 8 or 4",
            ),
            rule(
                "!has(self.topology) || !has(self.chipsPerHost) || (self.topology == '2x4'"
                " ? self.chipsPerHost in [4, 8]"
                " : self.chipsPerHost == (self.topology in ['1x1', '1x1x1'] ? 1 : 4))",
                "chipsPerHost is 4 or 8 for 2x4, 1 for 1x1 and 1x1x1, and 4 for every other"
                " topology",
            ),
        )
    )

    generation: Generation = Field(
        description="TPU generation; cpu runs on ordinary nodes, for development and tests."
    )
    topology: str | None = Field(
        default=None, max_length=11, description="Chips along each side of the slice: 2x4, 4x4x8."
    )
    chips_per_host: Literal[1, 4, 8] | None = Field(
        default=None, description="Chips of one host machine. Needed for topology 2x4 alone."
    )
    hosts: int | None = Field(
        default=None, ge=1, le=64, description="Pods of one replica; cpu only. Default: 1."
    )
    provisioning: Provisioning = Field(
        default=Provisioning.ON_DEMAND,
        description="How GKE's nodes are paid for: Spot, FlexStart and Reservation select such"
        " nodes and tolerate their taints.",
    )
    reservation: str | None = Field(
        default=None,
        max_length=200,
        pattern=r"^(projects/[a-z][-a-z0-9:.]{4,61}[a-z0-9]/reservations/)?[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Compute Engine reservation of provisioning Reservation: its name, or"
        " projects/PROJECT/reservations/NAME for one that another project shares.",
    )
    queue_name: str | None = Field(
        default=None,
        max_length=63,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Kueue's LocalQueue that slices wait in: each StatefulSet carries its name as"
        " kueue.x-k8s.io/queue-name. Holds for slices made from then on.",
    )
    exclusive_node_pool: bool | None = Field(
        default=None,
        description="Whether a slice keeps other slices off its GKE node pool, and keeps its hosts"
        " together in one. Default: true for slices of several hosts, where a node pool is one"
        " slice, else false.",
    )


def slice_of(tpu: TpuSlice) -> Slice:
    """Work out the hardware that `spec.tpu` asks for.

    Raises:
        TopologyError: no such slice exists; only an older CRD lets that through.
    """
    if tpu.generation is Generation.CPU:
        return cpu_slice(tpu.hosts or 1)
    return tpu_slice(tpu.generation, tpu.topology or "", tpu.chips_per_host)
