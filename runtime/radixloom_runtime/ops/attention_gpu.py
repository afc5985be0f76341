"""Ragged paged flash attention for GPUs: a Pallas kernel, lowered by way of Triton.

    scatter the step's keys and values into their pages, in place; then
    one call for the decodes, one for the prompts            gpu/work: what each program takes
        programs (some tokens of a chunk) x (kv head) x (some of its query heads)   gpu/flash

The second call begins a kernel after the first, and both after the scatter: what a chunk reads,
another may have written in the same step. Both write into one array, which begins as zeros: what
no program writes is padding.

Pages lie as on the CPU (`ops.kv_rows`). A request's decode is one program for each kv head, however
long the request: with few requests most of a large GPU idles. It never ran on a GPU: its numbers
are checked interpreted on a CPU, and that it lowers is checked there, too.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int, Num
from typing_extensions import override

from radixloom_runtime.ops.attention import Attention, Form, Ragged
from radixloom_runtime.ops.gpu.flash import Flash, Operands
from radixloom_runtime.ops.gpu.sizes import Sizes, choose_sizes
from radixloom_runtime.ops.gpu.work import Work, decode_work, prompt_work
from radixloom_runtime.ops.kv_rows import make_rows, row_shape, write_rows

_NUM_WARPS = 4
_NUM_STAGES = 2
_MOST_IN_32_BITS = 1 << 31
_LEAST_IN_64_BITS = 1 << 32


@dataclass(frozen=True)
class GPUAttention(Attention):
    """The kernel; see `ops.attention`."""

    interpret: bool = False
    """Run without a GPU, to check numbers."""

    @override
    def page_shape(
        self, num_kv_heads: int, head_dim: int, *, latent: bool, dtype: jnp.dtype
    ) -> tuple[int, ...]:
        return row_shape(num_kv_heads, head_dim, latent=latent, dtype=dtype)

    @override
    def page_dtype(self, dtype: jnp.dtype) -> jnp.dtype:
        return dtype

    @override
    def page_multiple(self, dtype: jnp.dtype) -> int:
        return 1

    @override
    def __call__(
        self,
        queries: Float[Array, "T N H"],
        keys: Float[Array, "T K H"],
        values: Float[Array, "T K H"] | None,
        pages: Num[Array, "G S *W"],
        batch: Ragged,
        page_offset: Int[Array, ""] | int,
        form: Form,
        *,
        window: Int[Array, ""] | int | None = None,
        sinks: Float[Array, " N"] | None = None,
    ) -> tuple[Float[Array, "T N V"], Num[Array, "G S *W"]]:
        _check_size(pages)
        slots = batch.slots + page_offset * pages.shape[1]
        pages = write_rows(pages, slots, make_rows(keys, values, form, pages.dtype))
        num_tokens, num_heads, head_dim = queries.shape
        tables = (batch.page_tables + page_offset).astype(jnp.int32)
        seen = jnp.full((1,), 0 if window is None else window, jnp.int32)
        sinks = None if sinks is None else sinks.astype(jnp.float32)
        out = jnp.zeros((num_tokens, num_heads, form.value_dim or head_dim), queries.dtype)
        for decodes in (True, False):
            sizes = choose_sizes(num_heads, keys.shape[1], head_dim, form, decodes=decodes)
            if decodes:
                work = decode_work(batch, num_tokens)
            else:
                work = prompt_work(batch, num_tokens, sizes.tokens)
            operands = Operands(work, seen, tables, queries, pages, sinks)
            flash = Flash(sizes, form, has_window=window is not None)
            out = _call(flash, operands, out, interpret=self.interpret)
        return out, pages


def _check_size(pages: Array) -> None:
    """Refuse a pool that Pallas would address wrongly: raises ValueError.

    It counts numbers in 32 bits with a sign for arrays up to 4 GiB (jax 0.10.2,
    `_compute_offsets_from_indices`), which is too few for one-byte numbers beyond 2 GiB.
    """
    num_bytes = pages.size * pages.dtype.itemsize
    if pages.size > _MOST_IN_32_BITS and num_bytes <= _LEAST_IN_64_BITS:
        raise ValueError(
            f"a KV cache of {num_bytes / 2**30:.2f} GiB in {pages.dtype} cannot be addressed on a"
            " GPU, but one of up to 2 GiB or of more than 4 GiB can; set kv_cache_tokens, or"
            " kv_cache_dtype to bfloat16"
        )


def _call(flash: Flash, operands: Operands, out: Array, *, interpret: bool) -> Array:
    """Run one kernel, which writes into `out`."""
    flat, structure = jax.tree.flatten(operands)
    sizes: Sizes = flash.sizes
    work: Work = operands.work

    def program(*refs: Any) -> None:
        *read, _, result = refs
        flash.run(jax.tree.unflatten(structure, read), result)

    call = pl.pallas_call(
        program,
        out_shape=jax.ShapeDtypeStruct(out.shape, out.dtype),
        grid=(work.counts.shape[0], sizes.num_kv_heads, sizes.head_blocks),
        input_output_aliases={len(flat): 0},
        compiler_params=triton.CompilerParams(num_warps=_NUM_WARPS, num_stages=_NUM_STAGES),
        interpret=interpret,
        name="ragged_paged_attention",
    )
    return call(*flat, out)
