"""Does a live object still say what we asked for? Pure.

What we ask for must be contained in what lives: the API server adds defaults, other people add
fields, and neither is drift. What we no longer ask for is noticed by the digest that we wrote onto
the object when we applied it.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from radixloom_operator.naming import DIGEST_ANNOTATION

Manifest = dict[str, Any]

_KEYS = ("name", "mountPath", "containerPort", "port", "key", "ip")
"""By which of its fields an element of a list is known, in the order tried."""
_QUANTITY_PARENTS = {"requests", "limits"}
_QUANTITY_FIELDS = {"sizeLimit"}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(m|k|Ki|[MGTPE]i?)?")
_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def differs(wanted: Manifest, live: Manifest) -> bool:
    """Tell whether `live` must be applied again to say what `wanted` says."""
    return _digest(wanted) != _digest(live) or not _contains(live, wanted, same=_equal)


def was_edited(wanted: Manifest, live: Manifest) -> bool:
    """Tell whether somebody else changed `live`: we asked for the same when we last applied it."""
    return _digest(wanted) == _digest(live) and differs(wanted, live)


def _digest(manifest: Manifest) -> str | None:
    return (manifest["metadata"].get("annotations") or {}).get(DIGEST_ANNOTATION)


def _contains(live: Any, wanted: Any, *, same: Callable[[Any, Any], bool]) -> bool:
    """Tell whether everything in `wanted` is in `live`; empty and absent are the same."""
    if isinstance(wanted, dict):
        return _contains_mapping(live, cast("Manifest", wanted), same=same)
    if isinstance(wanted, list):
        return _contains_list(live, cast("list[Any]", wanted))
    return same(live, wanted)


def _contains_mapping(live: Any, wanted: Manifest, *, same: Callable[[Any, Any], bool]) -> bool:
    if not isinstance(live, dict):
        return live is None and not wanted
    found = cast("Manifest", live)
    for key, value in wanted.items():
        is_quantity = key in _QUANTITY_FIELDS
        compare = _same_quantity if key in _QUANTITY_PARENTS or is_quantity else _equal
        inner = same if same is _same_quantity else compare
        if not _contains(found.get(key), value, same=inner):
            return False
    return True


def _contains_list(live: Any, wanted: list[Any]) -> bool:
    found = cast("list[Any]", live) if isinstance(live, list) else []
    key = _list_key(wanted)
    if key is None:
        return len(found) == len(wanted) and all(
            _contains(one, other, same=_equal) for one, other in zip(found, wanted, strict=True)
        )
    by_key = {one.get(key): one for one in found if isinstance(one, dict)}
    return all(_contains(by_key.get(one[key]), one, same=_equal) for one in wanted)


def _list_key(wanted: list[Any]) -> str | None:
    """Return the field that tells the elements apart; None where their order is what counts."""
    for key in _KEYS:
        if wanted and all(isinstance(one, dict) and key in one for one in wanted):
            names = {one[key] for one in wanted}
            return key if len(names) == len(wanted) else None
    return None


def _equal(live: Any, wanted: Any) -> bool:
    # the API server drops an empty string and keeps no false
    return live == wanted or (live is None and wanted in ("", False))


def _same_quantity(live: Any, wanted: Any) -> bool:
    """Compare as Kubernetes does: it stores `0.5` as `500m`."""
    one, other = _quantity(live), _quantity(wanted)
    return live == wanted or (one is not None and one == other)


def _quantity(value: Any) -> Decimal | None:
    matched = _QUANTITY.fullmatch(str(value))
    if matched is None:
        return None
    return Decimal(matched[1]) * _SUFFIXES[matched[2] or ""]
