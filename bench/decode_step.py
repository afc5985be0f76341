"""Time the compiled step alone: compile, decode by rows and context, prefill by chunk.

    python bench/decode_step.py MODEL_FOLDER [--context 128] [--rows 1 8 32] [--chunks 64 256]

Weights are random in the shape of MODEL_FOLDER's config.json. `cpu ms` is processor time of the
process: on a busy machine it says more than the wall clock.
"""

import argparse
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from radixloom_runtime.models.registry import make_model, read_config
from radixloom_runtime.ops.attention_cpu import CPUAttention
from radixloom_runtime.runner import machine
from radixloom_runtime.runner.buckets import Bucket
from radixloom_runtime.runner.history import make_history
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.programs import Programs
from radixloom_runtime.runner.rows import make_rows
from radixloom_runtime.runner.runner import JaxRunner
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.runner.weights import random_weights
from radixloom_runtime.wire.messages import Sampling
from radixloom_runtime.wire.plan import Chunk, Limits, PageGrant, RowStart, StepPlan

PAGE_TOKENS = 16
NUM_PAGES = 1024
STEPS = 8
GREEDY = Sampling(temperature=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 8, 16, 32, 64])
    parser.add_argument("--chunks", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--kv-dtype", default="float32", help="such as int8, float8_e4m3fn")
    options = parser.parse_args()
    machine.skip_absent_tpus(os.environ)
    jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS"))  # it read it when imported
    most_rows = max([*options.rows, 1])
    decode = [Bucket(rows, rows, mixed=False) for rows in options.rows]
    mixed = [Bucket(tokens, min(tokens, most_rows), mixed=True) for tokens in options.chunks]
    runner = make_runner(options.model, (*decode, *mixed), most_rows, options.kv_dtype)
    print("bucket        compile cpu s  temp MiB  wall ms  cpu ms  start us")
    for bucket in runner.programs.layouts:
        lowered = runner.programs.lower_step(bucket)
        began = time.process_time()
        temp = lowered.compile().memory_analysis().temp_size_in_bytes
        compiled = time.process_time() - began
        wall, cpu, start = measure(runner, bucket, options.context)
        print(
            f"{bucket.tokens:4} x {bucket.rows:<4}   {compiled:13.1f}  {temp / 2**20:8.1f}"
            f"  {wall * 1e3:7.1f}  {cpu * 1e3:6.1f}  {start * 1e6:8.0f}",
            flush=True,
        )


def make_runner(
    folder: Path, buckets: tuple[Bucket, ...], max_rows: int, kv_dtype: str
) -> JaxRunner:
    jax.config.update("jax_default_matmul_precision", "highest")
    config = read_config(folder)
    dtype = jnp.dtype("float32")
    held = jnp.dtype(kv_dtype)
    model = make_model(config, dtype=dtype, attention=CPUAttention(), stacked=False, kv_dtype=held)
    mesh = make_mesh(model.mesh_shape)
    weights = random_weights(model, mesh, seed=0)
    limits = Limits(NUM_PAGES, PAGE_TOKENS, max_rows, buckets[-1].tokens, config.max_positions)
    history = make_history(model, mesh, limits)
    rows = make_rows(mesh, max_rows, config.max_positions // PAGE_TOKENS, config.vocab_size)
    layouts = tuple(StepLayout(bucket, PAGE_TOKENS, max_rows) for bucket in buckets)
    programs = Programs(model, layouts, NUM_PAGES, (weights, history, rows))
    return JaxRunner(limits, programs, weights, history, rows)


def measure(runner: JaxRunner, bucket: Bucket, context: int) -> tuple[float, float, float]:
    """Best of several steps: wall and processor seconds, and wall seconds of `start`."""
    rows = 1 if bucket.mixed else bucket.rows
    pages = (context + bucket.tokens + STEPS) // PAGE_TOKENS + 2
    starts = tuple(RowStart(row, GREEDY, (1,), 1) for row in range(rows))
    grants = tuple(
        PageGrant(row, 0, tuple((row * pages + i) % NUM_PAGES for i in range(pages)))
        for row in range(rows)
    )
    best = (float("inf"),) * 3
    for step in range(STEPS):
        length = bucket.tokens if bucket.mixed else 1
        ids = tuple(range(length))
        chunks = tuple(Chunk(row, context + step, ids, samples=True) for row in range(rows))
        plan = StepPlan(step, () if step else starts, () if step else grants, chunks)
        wall, cpu = time.perf_counter(), time.process_time()
        handle = runner.start(plan)
        start = time.perf_counter() - wall
        runner.finish(handle)
        if step:  # the first one compiles and touches new memory
            spent = (time.perf_counter() - wall, time.process_time() - cpu, start)
            best = tuple(map(min, best, spent))
    return best[0], best[1], best[2]


if __name__ == "__main__":
    main()
