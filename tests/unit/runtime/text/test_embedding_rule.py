"""What a checkpoint says of its embeddings."""

import json
from pathlib import Path

import pytest
from support.embedding_folder import KINDS, declare_pooling

from radixloom_runtime.errors import ModelError
from radixloom_runtime.text.embedding_rule import EmbeddingRule, load, of_gguf

QWEN3 = {
    "word_embedding_dimension": 1024,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": False,
    "pooling_mode_lasttoken": True,
    "include_prompt": True,
}


def test_a_checkpoint_that_says_nothing_gives_its_last_state_normalized(tmp_path: Path):
    assert load(tmp_path) == EmbeddingRule("last", normalizes=True, is_declared=False)


def test_qwen3s_embedding_models_pool_the_last_token(tmp_path: Path):
    declare_pooling(tmp_path, QWEN3)
    assert load(tmp_path) == EmbeddingRule("last", normalizes=True, is_declared=True)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode": "mean", "embedding_dimension": 8}, "mean"),
    ],
)
def test_each_pooling_is_read_and_nothing_is_normalized_unasked(tmp_path, config, pooling):
    declare_pooling(tmp_path, config, KINDS[:2])
    assert load(tmp_path) == EmbeddingRule(pooling, normalizes=False, is_declared=True)


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode": "weightedmean"},
        {},
        None,
    ],
)
def test_a_pooling_that_cannot_be_done_is_a_problem(tmp_path, config):
    declare_pooling(tmp_path, config)
    assert "1_Pooling/config.json" in load(tmp_path).problem


def test_a_layer_after_the_pooling_is_a_problem_that_is_named(tmp_path: Path):
    declare_pooling(tmp_path, QWEN3, ("Transformer", "Pooling", "Dense", "Normalize"))
    assert "Dense" in load(tmp_path).problem


def test_a_ranker_declares_no_embeddings(tmp_path: Path):
    declare_pooling(tmp_path, None, ("Transformer", "LogitScore"))
    rule = load(tmp_path)
    assert not rule.is_declared
    assert "LogitScore" in rule.problem


def test_modules_that_are_no_json_are_told_of(tmp_path: Path):
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(ModelError, match=r"modules\.json is no JSON"):
        load(tmp_path)


def test_a_list_of_modules_may_hold_anything(tmp_path: Path):
    (tmp_path / "modules.json").write_text(json.dumps([3, None, {"type": None}]))
    assert load(tmp_path).problem


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        (3, EmbeddingRule("last", is_declared=True)),
        (1, EmbeddingRule("mean", is_declared=True)),
        (0, EmbeddingRule()),
        (4, EmbeddingRule()),
        (None, EmbeddingRule()),
    ],
)
def test_a_ggufs_number_is_a_pooling(number, rule):
    found = {"general.architecture": "qwen3", "qwen3.pooling_type": number}
    assert of_gguf(found) == rule
