from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from radixloom_runtime.runner.ahead.hlo import Collective, collectives

PROGRAM = """\
HloModule jit_step, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%body (carry: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %carry = (s32[], bf16[8,128]{1,0}) parameter(0)
  %part = bf16[8,128]{1,0:T(8,128)} get-tuple-element(%carry), index=1
  %all-reduce.1 = bf16[8,128]{1,0:T(8,128)(2,1)} all-reduce(%part), to_apply=%add
  ROOT %next = (s32[], bf16[8,128]{1,0}) tuple(%part, %all-reduce.1)
}

%condition (carry: (s32[], bf16[8,128])) -> pred[] {
  ROOT %less = pred[] compare(%carry, %carry), direction=LT
}

%cheap (p: f32[4]) -> f32[4] {
  ROOT %same = f32[4]{0} copy(%p)
}

%dear (p: f32[4]) -> f32[4] {
  ROOT %permuted = f32[4]{0} collective-permute(%p), source_target_pairs={{0,1}}
}

%below (carry: (s32[], bf16[8,128])) -> pred[] {
  %limit = s32[]{:T(128)} constant(4), metadata={op_name="jit(step)"}
  %carry = (s32[], bf16[8,128]{1,0}) parameter(0)
  %index = s32[]{:T(128)} get-tuple-element(%carry), index=0
  ROOT %lt = pred[]{:T(512)} compare(%index, %limit), direction=LT
}

%body.2 (carry: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %carry = (s32[], bf16[8,128]{1,0}) parameter(0)
  %scatter = bf16[2,128]{1,0} reduce-scatter(%carry), to_apply=%add
  ROOT %next = (s32[], bf16[8,128]{1,0}) tuple(%carry, %scatter)
}

ENTRY %main.9 (p: bf16[8,128]) -> f32[] {
  %while.1 = (s32[], bf16[8,128]{1,0}) while(%tuple), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"36"}}
  %while.2 = (s32[], bf16[8,128]{1,0}) while(%tuple), condition=%below, body=%body.2
  %gather-start = (f32[4,8]{1,0}, f32[4,32]{1,0}) all-gather-start(%p), dimensions={1}
  %gather-done = f32[4,32]{1,0} all-gather-done(%gather-start)
  %conditional.1 = f32[4]{0} conditional(%p, %a, %b), branch_computations={%cheap, %dear}
  ROOT %out = f32[] constant(0)
}
"""


def test_a_loop_counts_its_collectives_once_per_trip_and_a_conditional_its_dearest_branch():
    assert collectives(PROGRAM) == Counter(
        {
            Collective("all-reduce", "bf16", (8, 128)): 36,
            Collective("reduce-scatter", "bf16", (2, 128)): 4,
            Collective("all-gather", "f32", (4, 32)): 1,
            Collective("collective-permute", "f32", (4,)): 1,
        }
    )


def test_bytes_follow_the_number_format():
    sizes = {"f32": 4, "bf16": 2, "f8e4m3fn": 1, "pred": 1, "s8": 1, "u64": 8, "s4": 0.5}
    for dtype, size in sizes.items():
        assert Collective("all-gather", dtype, (6, 4)).num_bytes == 24 * size, dtype


def test_what_xla_compiles_for_one_device_says_nothing_to_others():
    mesh = Mesh(np.array(jax.devices()[:1]), ("tensor",))
    shape = jax.ShapeDtypeStruct((4, 4), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec()))
    assert not collectives(jax.jit(lambda x: x @ x).lower(shape).compile().as_text())
