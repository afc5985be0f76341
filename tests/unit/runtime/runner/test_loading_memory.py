"""A model loads in its own size and little more: what is read for a weight goes before the next."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 512,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
MIB = 1 << 20
SCRIPT = """
import sys, threading, time
from pathlib import Path
import jax, jax.numpy as jnp
from radixloom_runtime.models.registry import make_model, read_config
from radixloom_runtime.ops.attention_cpu import CPUAttention
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.weights import load_weights, num_bytes

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

folder, stacked = Path(sys.argv[1]), sys.argv[2] == "stacked"
model = make_model(
    read_config(folder), dtype=jnp.dtype("float32"), attention=CPUAttention(), stacked=stacked
)
mesh = make_mesh(model.mesh_shape, jax.devices())
(jnp.zeros((4, 4)).at[1].set(1.0)).block_until_ready()  # what jax itself takes comes before
before, most, ended = anonymous(), [0], threading.Event()

def watch():
    while not ended.wait(0.002):
        most[0] = max(most[0], anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
weights = load_weights(folder, model, mesh, lambda _: None)
jax.block_until_ready(weights)
ended.set()
watcher.join()
print(max(most[0], anonymous()) - before, num_bytes(model, mesh))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    generator = np.random.default_rng(0)
    width, inside = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shapes = {"model.embed_tokens": (CONFIG["vocab_size"], width), "model.norm": (width,)}
    for layer in range(CONFIG["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.self_attn.{name}_proj": (width, width) for name in "qkvo"}
        shapes |= {f"{prefix}.mlp.{name}_proj": (inside, width) for name in ("gate", "up")}
        shapes |= {f"{prefix}.mlp.down_proj": (width, inside)}
        shapes |= {f"{prefix}.{name}_layernorm": (width,) for name in ("input", "post_attention")}
    tensors = {
        f"{name}.weight": generator.random(shape, np.float32).astype(np.float16)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", ["apart", "stacked"])
def test_loading_takes_little_memory_beside_the_weights(checkpoint, form):
    command = [sys.executable, "-c", SCRIPT, str(checkpoint), form]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    most, weights = map(int, done.stdout.split())
    assert weights > 250 * MIB
    largest = 4 * 2 * CONFIG["hidden_size"] * CONFIG["intermediate_size"]  # gates and ups together
    assert most - weights < 10 * largest, f"{(most - weights) / MIB:.0f} MiB beside"
