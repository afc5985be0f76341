"""Which format a checkpoint's matrices have: config.json's `quantization_config`, in a type.

A format, or an option of one, that is not supported is an error here, before anything is read.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.awq import AWQ
from radixloom_runtime.formats.compressed_tensors import CompressedTensors, Strategy
from radixloom_runtime.formats.fp8 import Float8
from radixloom_runtime.formats.gptq import BITS as GPTQ_BITS
from radixloom_runtime.formats.gptq import GPTQ
from radixloom_runtime.formats.mxfp4 import MXFP4
from radixloom_runtime.formats.stored import Scheme

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quantization:
    """Schemes by modules. A module is a tensor's name less `.weight`."""

    method: str
    schemes: tuple[tuple[str, Scheme], ...]
    """For modules of a name, or of a pattern behind "re:", or ("Linear") for all others."""
    exempt: tuple[str, ...] = ()
    """Names, or patterns behind "re:", of modules that were left as they are."""
    stored_names: frozenset[str] | None = None
    """All tensors of the checkpoint, where it is at hand: then these tell what is quantized."""
    find: Callable[[str], Scheme | None] | None = None
    """Tells how a module is stored, where no rule does: each matrix of a GGUF has its own."""
    kept: Callable[[Scheme | None], Scheme | None] = lambda stored: stored
    """What the settings make of a stored scheme, for matrices that may be kept small."""

    def of(self, module: str) -> Scheme | None:
        """Return how a module's matrix is stored; None: as floats."""
        if self.find is not None:
            return self.find(module)
        if any(_is_named(module, name) for name in self.exempt):
            return None
        named = (scheme for name, scheme in self.schemes if _is_named(module, name))
        scheme = next(named, dict(self.schemes).get(_ALL))
        if scheme is None or self.stored_names is None:
            return scheme
        return scheme if f"{module}{scheme.marker}" in self.stored_names else None

    def in_checkpoint(self, names: Iterable[str]) -> "Quantization":
        """Return the same, for a checkpoint that has these tensors."""
        return replace(self, stored_names=frozenset(names))


NOT_QUANTIZED = Quantization("none", ())

_ALL = "Linear"
_EXPERTS = r"re:.*\.experts\.(gate_up|down)_proj$"
"""Of all experts of a layer, in one tensor."""


def module_of(name: str) -> str:
    """Return the module of a tensor."""
    return name.removesuffix(".weight")


def parse_quantization(raw: Raw) -> Quantization:
    """Read `quantization_config` of a config.json. Raises: `ModelError`."""
    config: Any = raw.get("quantization_config") or raw.get("compression_config")
    if not config:
        return NOT_QUANTIZED
    if not isinstance(config, dict):
        raise ModelError(f"config.json wants quantization_config as an object, found {config!r}")
    method = str(config.get("quant_method", "")).lower()
    parse = METHODS.get(method)
    if parse is None:
        raise ModelError(
            f"quantization_config has quant_method {method or None!r}, which is not supported;"
            f" supported: {', '.join(sorted(METHODS))}. Take a checkpoint in one of these, or an"
            " unquantized one with --quantization int8 or fp8"
        )
    return parse(config)


def _parse_awq(config: Raw) -> Quantization:
    version = str(config.get("version") or config.get("format") or "gemm").lower()
    _want(config, "bits", config.get("bits", config.get("w_bit", 4)), 4)
    _want(config, "version", version, "gemm")
    _want(config, "zero_point", config.get("zero_point", True), *(True,))
    scheme = AWQ(_group(config.get("group_size", config.get("q_group_size", 128))))
    left: list[str] = config.get("modules_to_not_convert") or []
    parts = tuple(f"re:.*{re.escape(name)}" for name in left)
    return Quantization("awq", ((_ALL, scheme),), parts)


def _parse_gptq(config: Raw) -> Quantization:
    bits = config.get("bits", 4)
    _want(config, "bits", bits, *GPTQ_BITS)
    version = str(config.get("checkpoint_format") or "gptq").lower()
    _want(config, "checkpoint_format", version, "gptq", "gptq_v2")
    scheme = GPTQ(
        bits=bits,
        group=_group(config.get("group_size", 128)),
        is_symmetric=bool(config.get("sym", True)),
        has_act_order=bool(config.get("desc_act", False)),
        is_version_1=version == "gptq",
    )
    dynamic: Raw = config.get("dynamic") or {}
    own = [name for name in dynamic if not name.startswith("-:")]
    if own:
        raise ModelError(
            f"quantization_config.dynamic gives {own[0]!r} options of its own, which is not"
            " supported; only modules left out (-:) are"
        )
    exempt = tuple(f"re:{name.removeprefix('-:')}" for name in dynamic)
    exempt += () if config.get("lm_head") else ("lm_head",)
    return Quantization("gptq", ((_ALL, scheme),), exempt)


def _parse_fp8(config: Raw) -> Quantization:
    _want(config, "fmt", config.get("fmt") or "e4m3", "e4m3", "float8_e4m3fn")
    block = config.get("weight_block_size")
    if block is None:
        scheme = Float8(None, "weight_scale")
    else:
        scheme = Float8((int(block[0]), int(block[1])))
    left: list[str] = config.get("modules_to_not_convert") or config.get("ignored_layers") or []
    return Quantization("fp8", ((_ALL, scheme),), (*left, "lm_head"))


def _parse_mxfp4(config: Raw) -> Quantization:
    """Read gpt-oss's: experts alone, but for those left out."""
    left: list[str] = config.get("modules_to_not_convert") or []
    exempt = tuple(f"re:{name}" for name in left)  # made for `re.match`: "layers.*.self_attn"
    return Quantization("mxfp4", ((_EXPERTS, MXFP4()),), exempt)


def _parse_compressed_tensors(config: Raw) -> Quantization:
    sparsity = (config.get("sparsity_config") or {}).get("format", "dense")
    _want(config, "sparsity_config.format", sparsity, "dense")
    if (config.get("transform_config") or {}).get("config_groups"):
        raise ModelError(
            "quantization_config.transform_config wants activations transformed while serving,"
            " which is not supported; take a checkpoint without it"
        )
    groups: Mapping[str, Raw] = config.get("config_groups") or {}
    schemes: list[tuple[str, Scheme]] = []
    for group in groups.values():
        written = str(group.get("format") or config.get("format") or "dense")
        scheme = _compressed(group, written)
        schemes += [(target, scheme) for target in group.get("targets") or [_ALL]]
    return Quantization("compressed-tensors", tuple(schemes), tuple(config.get("ignore") or ()))


METHODS: dict[str, Callable[[Raw], Quantization]] = {
    "awq": _parse_awq,
    "compressed-tensors": _parse_compressed_tensors,
    "fp8": _parse_fp8,
    "gptq": _parse_gptq,
    "mxfp4": _parse_mxfp4,
}


def _compressed(group: Raw, written: str) -> Scheme:
    """Read one entry of `config_groups`."""
    formats = ("int-quantized", "float-quantized", "naive-quantized", "pack-quantized")
    _want(group, "format", written, *formats)
    weights: Raw = group.get("weights") or {}
    is_packed, is_float = written == "pack-quantized", weights.get("type") == "float"
    bits = weights.get("num_bits", 8)
    _want(weights, "num_bits", bits, *((4, 8) if is_packed else (8,)))
    strategy = weights.get("strategy") or ("group" if weights.get("group_size") else "channel")
    _want(weights, "strategy", strategy, *Strategy)
    return CompressedTensors(
        bits=bits,
        is_float=is_float,
        is_packed=is_packed,
        strategy=Strategy(strategy),
        group=_group(weights.get("group_size")) if strategy == Strategy.GROUP else None,
        block=_block(weights.get("block_structure")),
        is_symmetric=bool(weights.get("symmetric", True)),
        has_act_order=weights.get("actorder") in (True, "group", "dynamic"),
        int8_activations=_rounds_to_int8(group.get("input_activations")),
    )


def _rounds_to_int8(activations: Raw | None) -> bool:
    """Whether each token's activations are rounded to int8 by their own largest.

    Others (fp8, or with scales fixed beforehand) are left as they are: nearer to the original.
    """
    wanted = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    given = {"type": "int", "symmetric": True} | dict(activations or {})
    return all(given.get(key) == value for key, value in wanted.items())


def _block(structure: Any) -> tuple[int, int]:
    if structure is None:
        return (128, 128)
    sides = structure.split("x") if isinstance(structure, str) else structure
    return int(sides[0]), int(sides[1])


def _group(size: int | None) -> int | None:
    return None if size is None or size < 0 else size


def _want(config: Raw, key: str, found: object, *wanted: object) -> None:
    if found not in wanted:
        method = config.get("quant_method") or "compressed-tensors"
        options = " or ".join(str(option) for option in wanted)
        raise ModelError(f"{method} with {key} {found!r} is not supported; supported: {options}")


def _is_named(module: str, name: str) -> bool:
    if name.startswith("re:"):
        return re.match(name.removeprefix("re:"), module) is not None
    return module == name or module.endswith(f".{name}")
