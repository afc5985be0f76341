"""lm-eval's local-completions: loglikelihoods by `echo` and `logprobs`, of token ids, in batches.

facts.jsonl has what transformers says of the same model (reference.py).
"""

import json
import os
import tempfile
from pathlib import Path

os.environ["HF_DATASETS_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="radixloom-lm-eval-")

import lm_eval
from asking import MODEL, TOKENIZER, URL, tell
from lm_eval.tasks import TaskManager

FACTS = Path(__file__).with_name("facts.jsonl")
TOLERANCE = 1e-3
"""Of float32, in sums over several layers and a row of answers."""
TASK = {
    "task": "facts",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": str(FACTS)},
    "test_split": "train",
    "doc_to_text": "{{prompt}}",
    "doc_to_target": "{{answer}}",
    "target_delimiter": "",
}
LIKELY = {**TASK, "output_type": "loglikelihood", "metric_list": [{"metric": "acc"}]}
GREEDY = {
    **TASK,
    "task": "facts_in_words",
    "output_type": "generate_until",
    "generation_kwargs": {"until": ["."], "max_gen_toks": 6, "temperature": 0.0},
    "metric_list": [{"metric": "exact_match"}],
}


def samples(task, **more):
    found = lm_eval.simple_evaluate(
        model="local-completions",
        model_args={
            "model": MODEL,
            "base_url": f"{URL}/v1/completions",
            "tokenizer": TOKENIZER,
            "max_length": 1024,
            "max_retries": 1,
            **more,
        },
        tasks=[task],
        task_manager=TaskManager(include_defaults=False),
        batch_size=4,
        bootstrap_iters=0,
    )
    return found["samples"][task["task"]]


def check_likelihoods(**more):
    wanted = [json.loads(line)["loglikelihood"] for line in FACTS.read_text().splitlines()]
    found = {each["doc_id"]: each["resps"][0][0][0] for each in samples(LIKELY, **more)}
    for index, likelihood in enumerate(wanted):
        assert abs(found[index] - likelihood) < TOLERANCE, (index, found[index], likelihood)


def loglikelihoods():
    check_likelihoods()


def loglikelihoods_of_texts():
    check_likelihoods(tokenized_requests=False)


def generating():
    [first, *_] = samples(GREEDY)
    assert "Paris" in first["resps"][0][0], first


tell("lm-eval", loglikelihoods, loglikelihoods_of_texts, generating)
