"""llama.cpp's side of `workloads.py`; runs in a virtual environment that has llama-cpp-python.

    python bench/llama_generate.py MODEL_FOLDER float32|bfloat16

Writes the checkpoint as a GGUF of that format, says in one JSON line what it loaded, then answers
each line of stdin with a line on stdout, as `transformers_generate.py` does. Each prompt of a job
is a sequence of its own; prompts are computed in batches of `BATCH_TOKENS`, then all sequences are
decoded together, greedily.
"""

# llama-cpp-python is not in the project's own environment, so nothing of it can be known to the
# checker.
# pyright: reportMissingImports=false, reportUnknownParameterType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingModuleSource=false

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
from gguf.quants import quantize

BATCH_TOKENS = 512
MOST_TOKENS = 16 * 1024
MOST_SEQUENCES = 16
_OUTSIDE_LAYERS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_IN_A_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(folder: Path, path: Path, dtype: str) -> None:
    """Convert a Llama checkpoint of bfloat16 in one file; without its tokenizer."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    for name, weight in _tensors(folder / "model.safetensors"):
        if ".q_proj." in name or ".k_proj." in name:
            weight = _pairs_as_neighbours(weight, heads if ".q_proj." in name else kv_heads)  # noqa: PLW2901
        if dtype == "bfloat16" and weight.ndim == 2:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(_gguf_name(name), quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(_gguf_name(name), weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(path: Path) -> Any:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        first = file.tell()
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "BF16":
                sys.exit(f"wanted a checkpoint of BF16, found {entry['dtype']} for {name}")
            begin, end = entry["data_offsets"]
            file.seek(first + begin)
            bits = np.frombuffer(file.read(end - begin), np.uint16).astype(np.uint32) << 16
            yield name, bits.view(np.float32).reshape(entry["shape"])


def _gguf_name(name: str) -> str:
    if name in _OUTSIDE_LAYERS:
        return _OUTSIDE_LAYERS[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_IN_A_LAYER[rest.removesuffix('.weight')]}.weight"


def _pairs_as_neighbours(weight: Any, num_heads: int) -> Any:
    """Turn rotary pairs (i, i + half of the head) into (2i, 2i + 1), as GGUF's llama has them."""
    rows, columns = weight.shape
    halves = weight.reshape(num_heads, 2, rows // num_heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


class Engine:
    """A loaded model and its cache."""

    def __init__(self, path: Path, threads: int) -> None:
        model_options = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_options)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_seq_max, options.kv_unified = MOST_TOKENS, MOST_SEQUENCES, True
        options.n_batch = options.n_ubatch = BATCH_TOKENS
        options.n_threads = options.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def generate(self, prompts: Sequence[list[int]], output_tokens: int) -> dict[str, Any]:
        """Continue all prompts greedily."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)  # noqa: FBT003
        began = time.perf_counter()
        newest = self._compute_prompts(prompts)
        first = time.perf_counter()
        outputs = [[token] for token in newest]
        for step in range(output_tokens - 1):
            places = [len(prompt) + step for prompt in prompts]
            lines = [(newest[i], place, i, True) for i, place in enumerate(places)]
            newest = list(self._decode(lines).values())
            for output, token in zip(outputs, newest, strict=True):
                output.append(token)
        seconds = time.perf_counter() - began
        return {"first_seconds": first - began, "seconds": seconds, "token_ids": outputs}

    def _compute_prompts(self, prompts: Sequence[list[int]]) -> list[int]:
        lines = [
            (token, place, sequence, place == len(prompt) - 1)
            for sequence, prompt in enumerate(prompts)
            for place, token in enumerate(prompt)
        ]
        sampled: dict[int, int] = {}
        for begin in range(0, len(lines), BATCH_TOKENS):
            sampled |= self._decode(lines[begin : begin + BATCH_TOKENS])
        return [sampled[sequence] for sequence in range(len(prompts))]

    def _decode(self, lines: Sequence[tuple[int, int, int, bool]]) -> dict[int, int]:
        """Compute (token, position, sequence, is its next wanted); the next tokens by sequence."""
        batch = self._batch
        batch.n_tokens = len(lines)
        for i, (token, position, sequence, wanted) in enumerate(lines):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        if llama_cpp.llama_decode(self._context, batch) != 0:
            sys.exit("llama_decode failed")
        return {
            sequence: self._likeliest(i)
            for i, (_, _, sequence, wanted) in enumerate(lines)
            if wanted
        }

    def _likeliest(self, line: int) -> int:
        logits = llama_cpp.llama_get_logits_ith(self._context, line)
        return int(np.ctypeslib.as_array(logits, (self._vocab_size,)).argmax())


def main() -> None:
    """Convert, load, say so, answer jobs until stdin ends."""
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.gguf"
        write_gguf(Path(sys.argv[1]), path, sys.argv[2])
        engine = Engine(path, threads)
        about = {"llama_cpp_python": llama_cpp.__version__, "threads": threads}
        print(json.dumps(about), flush=True)
        for line in sys.stdin:
            job = json.loads(line)
            print(json.dumps(engine.generate(job["prompts"], job["output_tokens"])), flush=True)


if __name__ == "__main__":
    main()
