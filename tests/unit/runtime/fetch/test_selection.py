"""Which files are wanted."""

import pytest

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import selection


def test_weights_configuration_tokenizer_and_licence_are_wanted():
    wanted = [
        "1_Pooling/config.json",
        "LICENSE",
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "tokenizer.model",
    ]
    others = [
        ".gitattributes",
        "README.md",
        "flax_model.msgpack",
        "model.gguf",
        "modeling_tiny.py",
        "onnx/model.safetensors",
        "original/consolidated.00.pth",
        "pytorch_model.bin",
    ]
    assert selection.wanted(wanted + others) == wanted


def test_a_second_copy_of_the_weights_is_left_out():
    paths = ["consolidated.safetensors", "model.safetensors"]
    assert selection.wanted(paths) == ["model.safetensors"]
    assert selection.wanted(paths[:1]) == ["consolidated.safetensors"]


@pytest.mark.parametrize("path", ["../config.json", "/etc/passwd", "a/../../b.json", ""])
def test_a_path_that_leaves_the_folder_is_refused(path: str):
    with pytest.raises(FetchError, match="outside"):
        selection.wanted([path])
