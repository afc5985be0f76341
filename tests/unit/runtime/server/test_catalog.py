import json
from pathlib import Path

import openai
import pytest
from support.gguf_files import write_gguf
from support.goldens import folder
from support.tiny import FOLDER

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.server import catalog
from radixloom_runtime.server.catalog import SamplingDefaults
from radixloom_runtime.settings import RuntimeSettings


def test_the_model_is_listed_with_its_context(client: openai.OpenAI):
    [model] = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny_tokenizer", "model", "radixloom")
    assert model.model_extra == {"max_model_len": 256}
    assert client.models.retrieve("tiny_tokenizer") == model


def test_another_model_is_not_found(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("org/other")


def test_a_model_is_named_after_its_folder_unless_told():
    assert catalog.locate(RuntimeSettings(model=FOLDER)).served_model_name == "tiny_tokenizer"
    named = RuntimeSettings(model=FOLDER, served_model_name="mine")
    assert catalog.locate(named).served_model_name == "mine"


def test_without_a_model_the_demo_model_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "radixloom" / "models" / "smollm2-135m-instruct"
    with pytest.raises(ConfigurationError, match="radixloom fetch demo"):
        catalog.locate(RuntimeSettings())
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    located = catalog.locate(RuntimeSettings())
    assert (located.model, located.served_model_name) == (folder, "smollm2-135m-instruct")


def test_a_folder_without_config_is_no_checkpoint(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"wanted a checkpoint folder with a config\.json"):
        catalog.locate(RuntimeSettings(model=tmp_path))


def test_an_adapter_may_not_have_the_models_name():
    settings = RuntimeSettings(model=FOLDER, lora=("tiny_tokenizer=/adapters/one",))
    with pytest.raises(ConfigurationError, match="'tiny_tokenizer' has the model's own name"):
        catalog.locate(settings)
    named = settings.model_copy(update={"served_model_name": "mine"})
    assert catalog.locate(named).served_model_name == "mine"


def test_sampling_defaults_are_the_checkpoints(tmp_path: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    generation = {"temperature": 0.6, "top_k": 20, "top_p": None, "do_sample": True}
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    assert catalog.load(tmp_path, "x").defaults == SamplingDefaults(temperature=0.6, top_k=20)


def test_a_gguf_is_named_after_its_file_and_brings_tokenizer_and_template(tmp_path: Path):
    path = write_gguf(folder("llama-tied"), tmp_path / "Tiny.Q8_0.gguf")
    assert catalog.locate(RuntimeSettings(model=path)).served_model_name == "Tiny.Q8_0"
    assert catalog.locate(RuntimeSettings(model=tmp_path)).served_model_name == tmp_path.name
    model = catalog.load(tmp_path, "x")
    assert model.tokenizer.eos_ids == (2,)
    assert model.chat_template is not None
    text = model.chat_template.render([{"role": "user", "content": "ab"}])
    assert text == "<|im_start|>ab<|im_end|>"
    assert model.tokenizer.encode(text, add_special_tokens=False)[::2] == [1, 2]


@pytest.mark.parametrize("setting", ["tool_call_parser", "reasoning_parser"])
def test_a_parser_that_does_not_exist_is_refused_before_the_start(setting: str):
    settings = RuntimeSettings.model_validate({"model": FOLDER, setting: "gpt-9"})
    with pytest.raises(ConfigurationError, match=f"{setting} 'gpt-9' is none of auto, none, "):
        catalog.locate(settings)


def test_parsers_are_chosen_by_the_template_unless_they_are_named():
    found = catalog.load(FOLDER, "x")
    assert (found.tool_format, found.reasoning_format) == ("hermes", None)
    named = catalog.load(FOLDER, "x", tool_call_parser="none", reasoning_parser="qwen3")
    assert (named.tool_format, named.reasoning_format) == (None, "qwen3")
