"""The pod template of one slice, made of that of slice 0. Pure.

Slices differ in their names alone: in two labels, in what the hosts of a slice call each other, and
in which slice their affinity is about. A revision holds one template, and every slice's follows.
"""

import copy
import re
from typing import Any

from radixloom_operator.naming import SLICE_INDEX_LABEL, SLICE_LABEL, slice_name

_NAMING_VARIABLES = frozenset(
    {
        "RADIXLOOM_LEADER_ADDRESS",
        "TPU_NAME",
        "TPU_PROCESS_ADDRESSES",
        "TPU_WORKER_HOSTNAMES",
    }
)


def template_of_slice(template: dict[str, Any], service: str, index: int) -> dict[str, Any]:
    """Return the template of slice `index`, given that of slice 0."""
    result = copy.deepcopy(template)
    first, own = slice_name(service, 0), slice_name(service, index)
    result["metadata"]["labels"] |= {SLICE_LABEL: own, SLICE_INDEX_LABEL: str(index)}
    for container in result["spec"]["containers"]:
        for variable in container.get("env", []):
            if variable["name"] in _NAMING_VARIABLES:
                variable["value"] = re.sub(rf"\b{first}\b", own, variable["value"])
    _rename_affinity(result["spec"].get("affinity") or {}, first, own)
    return result


def _rename_affinity(affinity: dict[str, Any], first: str, own: str) -> None:
    for rules in affinity.values():
        for term in rules["requiredDuringSchedulingIgnoredDuringExecution"]:
            selector = term["labelSelector"]
            if selector.get("matchLabels", {}).get(SLICE_LABEL) == first:
                selector["matchLabels"][SLICE_LABEL] = own
            for expression in selector.get("matchExpressions", []):
                if expression["key"] == SLICE_LABEL:
                    expression["values"] = [own]
