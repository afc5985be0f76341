"""transformers' side of `workloads.py`; runs in a virtual environment that has torch.

    python bench/transformers_generate.py MODEL_FOLDER float32|bfloat16

Says in one JSON line what it loaded, then answers each line of stdin with a line on stdout:

    {"prompts": [[ids], ...], "output_tokens": 64}
    {"first_seconds": 0.2, "seconds": 4.1, "token_ids": [[ids], ...]}

All prompts of a job are one batch, padded on the left: the fastest that `generate` offers here.
"""

# torch is not in the project's own environment, so nothing of it can be known to the checker.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportMissingTypeArgument=false
# pyright: reportUnknownParameterType=false, reportMissingModuleSource=false

import json
import sys
import time
from typing import Any

import torch
import transformers
from typing_extensions import override


class FirstStep(transformers.StoppingCriteria):
    """Never stops, and notes when the first step was done: streamers refuse batches."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    @override
    def __call__(self, input_ids: Any, *_: Any, **__: Any) -> Any:
        """Look at the clock once, and let every row go on."""
        if self.seconds is None:
            self.seconds = time.perf_counter()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


def load(folder: str, dtype: str) -> Any:
    """Load the model; end-of-sequence is ignored."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()


def generate(model: Any, prompts: list[list[int]], output_tokens: int) -> dict[str, Any]:
    """Continue all prompts greedily, as one batch."""
    longest = max(map(len, prompts))
    padding = [longest - len(prompt) for prompt in prompts]
    pairs = list(zip(padding, prompts, strict=True))
    input_ids = torch.tensor([[0] * missing + prompt for missing, prompt in pairs])
    mask = torch.tensor([[0] * missing + [1] * len(prompt) for missing, prompt in pairs])
    first = FirstStep()
    began = time.perf_counter()
    with torch.inference_mode():
        output = model.generate(
            input_ids,
            attention_mask=mask,
            max_new_tokens=output_tokens,
            do_sample=False,
            stopping_criteria=[first],
        )
    ended = time.perf_counter()
    return {
        "first_seconds": (first.seconds or ended) - began,
        "seconds": ended - began,
        "token_ids": output[:, longest:].tolist(),
    }


def main() -> None:
    """Load, say so, answer jobs until stdin ends."""
    began = time.perf_counter()
    model = load(sys.argv[1], sys.argv[2])
    loaded = {
        "load_seconds": time.perf_counter() - began,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "attention": model.config._attn_implementation,  # noqa: SLF001 - nothing public tells it
    }
    print(json.dumps(loaded), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(generate(model, job["prompts"], job["output_tokens"])), flush=True)


if __name__ == "__main__":
    main()
