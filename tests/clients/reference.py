"""Write facts.jsonl with what transformers says of the demo model, in float32.

uv run --no-project --with torch --with transformers tests/clients/reference.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FACTS = {
    "The capital of France is": " Paris",
    "The opposite of hot is": " cold",
    "Two plus two is": " four",
    "Water freezes at zero degrees": " Celsius",
    "The sun rises in the east and sets in the": " west, every single day of the year",
}

folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def loglikelihood(prompt: str, answer: str) -> float:
    """Sum the logprobs of the answer's tokens."""
    start = len(tokenizer(prompt).input_ids)
    ids = tokenizer(prompt + answer).input_ids
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(logprobs[place - 1, ids[place]].item() for place in range(start, len(ids)))


lines = [
    json.dumps({"prompt": prompt, "answer": answer, "loglikelihood": loglikelihood(prompt, answer)})
    for prompt, answer in FACTS.items()
]
Path(__file__).with_name("facts.jsonl").write_text("\n".join(lines) + "\n")
