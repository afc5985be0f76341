"""Checkpoints without an output layer."""

import pytest
from support.embedding_folder import bare_checkpoint
from support.goldens import folder

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.bare import as_stored, check_causal, with_head
from radixloom_runtime.models.registry import ARCHITECTURES, parse_config, read_config
from radixloom_runtime.runner.checkpoint import Checkpoint


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Qwen3Model", "Qwen3ForCausalLM"),
        ("Gemma3TextModel", "Gemma3ForCausalLM"),
        ("QWenLMHeadModel", "QWenLMHeadModel"),
        ("BertModel", "BertModel"),
    ],
)
def test_a_network_is_known_by_the_name_that_it_has_without_its_head(name, known):
    assert with_head(name, ARCHITECTURES) == known


def test_a_network_that_nobody_knows_is_refused_by_the_name_it_has():
    with pytest.raises(ModelError, match="'BertModel' is not supported"):
        parse_config({"architectures": ["BertModel"]})


@pytest.mark.parametrize("found", [{"is_causal": False}, {"use_bidirectional_attention": True}])
def test_tokens_that_see_those_after_them_are_refused(found):
    with pytest.raises(ModelError, match="tokens attend to those after them"):
        parse_config({"architectures": ["Qwen3Model"], **found})


def test_causal_attention_may_be_said_or_left_out():
    check_causal({"is_causal": True, "use_bidirectional_attention": None})
    check_causal({})


def test_tensors_without_prefix_are_named_so_and_the_head_is_left_out(tmp_path):
    source = bare_checkpoint(tmp_path / "model")
    config = as_stored(read_config(source), Checkpoint(source).names)
    assert (config.names.embedding, config.names.final_norm) == ("embed_tokens", "norm")
    assert config.names.layer == "layers.{layer}"
    assert not config.has_head


def test_an_ordinary_checkpoint_stays_as_it_is():
    config = read_config(folder("qwen3"))
    assert as_stored(config, Checkpoint(folder("qwen3")).names) == config
