"""Which adapter is loaded in which slot.

    add ──► loaded: new requests find it ──unload, or add of the same name──► retired
                                                                                │
    its slot is free again, once no accepted request has it any more ◄──────────┘

Each loading has a namespace of its own in the prefix cache: KV that an adapter computed is read by
requests with that very one alone, not by those of another under its name.
"""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from radixloom_runtime.cache.radix import OWN
from radixloom_runtime.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as it was loaded once."""

    name: str
    slot: int
    """Above 0."""
    namespace: int


class Adapters:
    """The loaded ones, by name."""

    def __init__(self, num_slots: int, names: Iterable[str] = ()) -> None:
        """`names` are loaded already, in the first slots."""
        self._num_slots = num_slots
        self._loaded: dict[str, Adapter] = {}
        self._namespaces = itertools.count(OWN + 1)
        for slot, name in enumerate(names, start=1):
            self.add(name, slot)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that are loaded, in the order of their loading."""
        return tuple(self._loaded)

    def find(self, name: str) -> Adapter | None:
        """Return the adapter of that name."""
        return self._loaded.get(name)

    def name_of(self, namespace: int) -> str | None:
        """Return whose a namespace is: empty for the model's own, None if it is not loaded now."""
        if namespace == OWN:
            return ""
        names = (each.name for each in self._loaded.values() if each.namespace == namespace)
        return next(names, None)

    def slot_for(self, name: str, in_use: Collection[int]) -> int:
        """Choose a slot that no request of `in_use` has: of a new name, or in another's place.

        Raises: `ConfigurationError` if there is none.
        """
        taken = {each.slot for each in self._loaded.values() if each.name != name} | set(in_use)
        for slot in range(1, self._num_slots + 1):
            if slot not in taken:
                return slot
        if not self._num_slots:
            raise ConfigurationError(
                "this server has no room for adapters; start it with --max-loras"
            )
        raise ConfigurationError(
            f"all {self._num_slots} places for adapters are taken by {', '.join(self._loaded)} and"
            " by requests that still run with one; unload one, wait for those, or start with a"
            " larger --max-loras"
        )

    def add(self, name: str, slot: int) -> None:
        """Let requests find the adapter that is in a slot."""
        self._loaded.pop(name, None)
        self._loaded[name] = Adapter(name, slot, next(self._namespaces))

    def unload(self, name: str) -> None:
        """Let no more requests find an adapter. Raises: `ConfigurationError` if there is none."""
        if self._loaded.pop(name, None) is None:
            raise ConfigurationError(
                f"no adapter {name!r} is loaded; loaded: {', '.join(self._loaded) or 'none'}"
            )
