"""Compile the TPU's attention kernel for every generation, without a TPU, and print a table.

    python -m hack.attention_matrix [--quick] [--tpu v4 v6e ...] [--json]

Each variant is compiled as two layers in a scan, as a model has them, with the pages donated. A
variant fails if the compiler refuses it, or if it needs temporary memory as large as the pages:
then the cache would be copied. Exit code 1 if any fails.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from radixloom_runtime.runner.ahead.environment import use_tpu_compiler
from radixloom_runtime.topology import Generation, Slice, tpu_slice

if TYPE_CHECKING:
    from radixloom_runtime.ops.attention import Attention

SMALLEST = {
    Generation.V4: "2x2x1",
    Generation.V5E: "1x1",
    Generation.V5P: "2x2x1",
    Generation.V6E: "1x1",
    Generation.V7X: "1x1x1",
}
PAGES_A_LAYER = 2048
"""Enough that the pages are larger than what any variant needs for its queries alone."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One kernel."""

    name: str
    num_heads: int
    num_kv_heads: int
    head_dim: int
    value_dim: int | None = None
    dtype: str = "bfloat16"
    pages_dtype: str = ""
    """Empty: as `dtype`."""
    has_window: bool = False
    has_sinks: bool = False
    soft_cap: float | None = None
    page_tokens: int = 64
    tokens: int = 256
    rows: int = 64
    table_pages: int = 128


QUICK = (
    Variant("Llama 8B", 32, 8, 128),
    Variant("SmolLM2, odd heads", 9, 3, 64),
    Variant("SmolLM2, float32", 9, 3, 64, dtype="float32"),
    Variant("Gemma 2", 8, 4, 256, has_window=True, soft_cap=50.0),
    Variant("gpt-oss", 64, 8, 64, has_window=True, has_sinks=True),
    Variant("DeepSeek, one of 8 devices", 16, 1, 576, 512),
    Variant("Llama 8B, fp8 pages", 32, 8, 128, pages_dtype="float8_e4m3fn"),
    Variant("Llama 8B, int8 pages", 32, 8, 128, pages_dtype="int8"),
    Variant("DeepSeek, int8 pages", 16, 1, 576, 512, pages_dtype="int8"),
)
FULL = (
    *QUICK,
    Variant("Llama 8B, float32", 32, 8, 128, dtype="float32"),
    Variant("Llama 8B, float32 over bfloat16", 32, 8, 128, dtype="float32", pages_dtype="bfloat16"),
    Variant("DeepSeek, fp8 pages", 16, 1, 576, 512, pages_dtype="float8_e4m3fn"),
    Variant("Llama 8B, float32 over int8", 32, 8, 128, dtype="float32", pages_dtype="int8"),
    Variant("Llama 70B, one of 8, int8 pages", 8, 1, 128, pages_dtype="int8"),
    Variant("SmolLM2, int8 pages", 9, 3, 64, pages_dtype="int8"),
    Variant("head 80, int8 pages", 32, 32, 80, pages_dtype="int8"),
    Variant("Gemma 3, int8 pages", 8, 4, 256, has_window=True, pages_dtype="int8"),
    Variant("Llama 8B, int8 pages, decodes", 32, 8, 128, pages_dtype="int8", rows=256),
    Variant("Llama 8B, one decode", 32, 8, 128, tokens=1, rows=1),
    Variant("Llama 8B, decodes", 32, 8, 128, tokens=256, rows=256),
    Variant("Llama 8B, 2048 tokens, 131072 long", 32, 8, 128, tokens=2048, rows=256,
            table_pages=2048),
    Variant("Llama 8B, pages of 16", 32, 8, 128, page_tokens=16, table_pages=2048),
    Variant("Llama 8B, pages of 128", 32, 8, 128, page_tokens=128),
    Variant("Llama 8B, pages of 256", 32, 8, 128, page_tokens=256),
    Variant("Llama 70B, one of 8 devices", 8, 1, 128),
    Variant("Qwen2 7B", 28, 4, 128),
    Variant("Phi-3, head 96", 32, 32, 96),
    Variant("head 80", 32, 32, 80),
    Variant("head 192", 12, 4, 192),
    Variant("Gemma 3, float32", 8, 4, 256, has_window=True, dtype="float32"),
    Variant("gpt-oss, float32", 64, 8, 64, has_window=True, has_sinks=True, dtype="float32"),
    Variant("DeepSeek, all heads", 128, 1, 576, 512),
    Variant("DeepSeek, float32", 16, 1, 576, 512, dtype="float32"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one variant on one generation."""

    tpu: str
    variant: str
    problem: str
    """Empty: it compiles, and copies no pages."""
    temporary_bytes: int = 0
    pages_bytes: int = 0
    seconds: float = 0.0


def main() -> None:
    """Compile what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the most different variants alone")
    parser.add_argument("--tpu", nargs="*", choices=[g.value for g in SMALLEST])
    parser.add_argument("--json", action="store_true", help="one line of JSON for each variant")
    options = parser.parse_args()
    generations = [Generation(name) for name in options.tpu or ()] or list(SMALLEST)
    variants = QUICK if options.quick else FULL
    use_tpu_compiler(tpu_slice(Generation.V5E, "1x1"))  # one process compiles for all
    failed = 0
    for outcome in compile_all(generations, variants):
        failed += bool(outcome.problem)
        print(json.dumps(asdict(outcome)) if options.json else _line(outcome), flush=True)
    sys.exit(1 if failed else 0)


def compile_all(generations: list[Generation], variants: tuple[Variant, ...]) -> Iterator[Outcome]:
    """Compile every variant for every generation."""
    for generation in generations:
        compile_one = _compiler(tpu_slice(generation, SMALLEST[generation]))
        for variant in variants:
            yield compile_one(variant)


def _compiler(hardware: Slice) -> Callable[[Variant], Outcome]:
    """Return a function that compiles for one device of a slice."""
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from radixloom_runtime.ops.attention_tpu import TPUAttention
    from radixloom_runtime.runner.ahead.target import target_of

    mesh = Mesh(np.array(target_of(hardware).devices[:1]), ("tensor",))
    whole = NamedSharding(mesh, PartitionSpec())
    tpu = hardware.generation.value if hardware.generation else "cpu"

    def placed(shape: Any) -> Any:
        return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=whole)

    def compile_one(variant: Variant) -> Outcome:
        layers, operands = two_layers(variant, TPUAttention())
        operands = jax.tree.map(placed, operands)
        pages = operands[3]
        pages_bytes = pages.size * pages.dtype.itemsize
        begin = time.monotonic()
        try:
            # Pallas asks the mesh, not the process's backend, what it is lowered for.
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                lowered = jax.jit(layers, donate_argnums=3).lower(*operands)
            memory: Any = lowered.compile().memory_analysis()
        # XLA refuses with the first; Pallas, where it cannot lower a kernel, with the others. All
        # are what the table is for, and a variant that has a problem makes the exit code 1.
        except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
            return Outcome(tpu, variant.name, str(error).splitlines()[0])
        temporary = int(memory.temp_size_in_bytes)
        problem = "" if temporary < pages_bytes else "the pages are copied"
        seconds = time.monotonic() - begin
        return Outcome(tpu, variant.name, problem, temporary, pages_bytes, seconds)

    return compile_one


def two_layers(variant: Variant, kernel: "Attention") -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return a program with a kernel, and the shapes of its operands; number 3 is the pages."""
    import jax
    import jax.numpy as jnp

    from radixloom_runtime.ops.attention import Form, Ragged

    v = variant
    form = Form(v.head_dim**-0.5, v.soft_cap, v.value_dim)
    window = 1024 if v.has_window else None

    def layers(queries: Any, keys: Any, values: Any, pages: Any, batch: Any, sinks: Any) -> Any:
        def layer(carry: Any, index: Any) -> Any:
            x, pages = carry
            window_here = None if window is None else window << index
            out, pages = kernel(
                x, keys, values, pages, batch, index * PAGES_A_LAYER, form,
                window=window_here, sinks=sinks,
            )  # fmt: skip
            missing = v.head_dim - out.shape[-1]
            return (x + jnp.pad(out, ((0, 0), (0, 0), (0, missing))), pages), None

        return jax.lax.scan(layer, (queries, pages), jnp.arange(2))[0]

    def shape(*sizes: int, dtype: str = v.dtype) -> Any:
        return jax.ShapeDtypeStruct(sizes, jnp.dtype(dtype))

    def integers(*sizes: int) -> Any:
        return shape(*sizes, dtype="int32")

    latent = v.value_dim is not None
    pages_dtype = jnp.dtype(v.pages_dtype or v.dtype)
    page = kernel.page_shape(v.num_kv_heads, v.head_dim, latent=latent, dtype=pages_dtype)
    keys = shape(v.tokens, v.num_kv_heads, v.head_dim)
    batch = Ragged(
        num_decodes=integers(),
        num_chunks=integers(),
        starts=integers(v.rows),
        lengths=integers(v.rows),
        offsets=integers(v.rows),
        page_tables=integers(v.rows, v.table_pages),
        slots=integers(v.tokens),
    )
    pages = shape(2 * PAGES_A_LAYER, v.page_tokens, *page, dtype=pages_dtype.name)
    sinks = shape(v.num_heads, dtype="float32") if v.has_sinks else None
    queries = shape(v.tokens, v.num_heads, v.head_dim)
    return layers, (queries, keys, None if latent else keys, pages, batch, sinks)


def _line(outcome: Outcome) -> str:
    found = outcome.problem or (
        f"{outcome.temporary_bytes / 2**20:7.1f} MiB temporary beside"
        f" {outcome.pages_bytes / 2**20:5.0f} MiB of pages, {outcome.seconds:4.1f} s"
    )
    return f"{outcome.tpu:6} {outcome.variant:35} {found}"


if __name__ == "__main__":
    main()
