"""Reading a compiled step: what its text says of collectives.

XLA writes each computation once, and `while` repeats its body; so a collective in the body of the
loop over the layers counts once per layer. A conditional counts as its dearest branch.

    ENTRY %main ──while, 36 trips──► %body ──fusion, call──► ... all-reduce

Bytes are those of the result on one device, as the text's shapes say.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

_KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPERATION = re.compile(r"(?:^|[\s)}])([a-z][a-z0-9\-]*)\(")
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+(?:e\d+m\d+\w*)?)\[([\d,]*)\]")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_CONSTANT = re.compile(r"^s32\[\]\S* constant\((\d+)\)")
_BELOW = re.compile(r"^pred\[\]\S* compare\(%?[\w.\-]+, %?([\w.\-]+)\), direction=LT")


@dataclass(frozen=True, slots=True, order=True)
class Collective:
    """One kind of traffic between devices, with one shape of result."""

    kind: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        """Numbers in the result."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of the result."""
        bits = int(re.sub(r"\D", "", self.dtype.partition("e")[0]) or 8)  # f8e4m3 is 8, pred 8
        return math.ceil(self.num_elements * bits / 8)


@dataclass(slots=True)
class _Computation:
    found: Counter[Collective] = field(default_factory=Counter[Collective])
    called: list[tuple[str, int | str]] = field(default_factory=list[tuple[str, int | str]])
    """Names of computations, and how often they run: a number, or as a condition allows."""
    constants: dict[str, int] = field(default_factory=dict[str, int])
    limit: int = 1
    """Of a condition that holds while a counter is below a constant: the constant."""
    branched: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    """Of each conditional, the computations of which one runs."""


def collectives(text: str) -> Counter[Collective]:
    """Count what devices say to each other when the program of `text` runs once.

    A loop's trips are known from the text or from its condition (a counter from zero that stays
    below a constant, as `lax.scan` makes it); any other loop counts as one trip.
    """
    computations, entry = _parse(text)

    @cache
    def total(name: str) -> Counter[Collective]:
        one = computations.get(name)
        if one is None:
            return Counter()
        found = Counter(one.found)
        for called, times in one.called:
            trips = times if isinstance(times, int) else computations[times].limit
            for collective, count in total(called).items():
                found[collective] += count * trips
        for branches in one.branched:
            found += _dearest([total(branch) for branch in branches])
        return found

    return Counter(total(entry))


def _dearest(branches: list[Counter[Collective]]) -> Counter[Collective]:
    return max(branches, key=lambda found: sum(c.num_bytes * n for c, n in found.items()))


def _parse(text: str) -> tuple[dict[str, _Computation], str]:
    computations: dict[str, _Computation] = {}
    entry, current = "", _Computation()
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            current = computations.setdefault(head[2], _Computation())
            entry = head[2] if head[1] else entry
            continue
        instruction = _INSTRUCTION.match(line)
        if instruction:
            _read(instruction[1], instruction[2], current)
    return computations, entry


def _read(name: str, instruction: str, computation: _Computation) -> None:
    """Add one instruction to its computation; `instruction` is what follows its name and `=`."""
    constant, below = _CONSTANT.match(instruction), _BELOW.match(instruction)
    if constant:
        computation.constants[name] = int(constant[1])
    if below:
        computation.limit = computation.constants.get(below[1], 1)
    operation = _OPERATION.search(instruction)
    if operation is None or operation[1].endswith(("-done", "-update")):
        return
    kind = operation[1].removesuffix("-start")
    if kind in _KINDS:
        computation.found.update(_results(kind, operation[1], instruction[: operation.start(1)]))
        return  # what it applies adds two numbers
    branches = _BRANCHES.search(instruction)
    if branches:
        names = tuple(branch.strip().lstrip("%") for branch in branches[1].split(","))
        computation.branched.append(names)
    called = _CALLED.findall(instruction)
    if kind == "conditional" and called:
        computation.branched.append(tuple(called))
        return
    times = _times(instruction) if kind == "while" else 1
    computation.called += [(body, times) for body in called]


def _times(loop: str) -> int | str:
    """Return how often a loop's body runs, or the name of the condition that tells."""
    trips, condition = _TRIPS.search(loop), _CONDITION.search(loop)
    if trips:
        return int(trips[1])
    return condition[1] if condition else 1


def _results(kind: str, operation: str, result: str) -> Iterator[Collective]:
    """Yield what a collective makes; the result of a start holds its operands too, first."""
    shapes = [
        Collective(kind, dtype, tuple(int(size) for size in sizes.split(",") if size))
        for dtype, sizes in _SHAPE.findall(result)
    ]
    is_pair = operation.endswith("-start") and kind in ("all-gather", "collective-permute")
    yield from shapes[1:2] if is_pair and len(shapes) > 1 else shapes
