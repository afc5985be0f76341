import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny import FOLDER, IM_END, VOCAB_SIZE, tiny_tokenizer

from radixloom_runtime.errors import ModelError
from radixloom_runtime.text import tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's text side that a test may change."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    return tmp_path


def _write(folder: Path, name: str, **content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def test_text_survives_encoding_and_decoding():
    ids = tiny_tokenizer().encode("To be, or not to be — 語", add_special_tokens=True)
    assert tiny_tokenizer().decode(ids, skip_special_tokens=True) == "To be, or not to be — 語"


def test_the_vocabulary_counts_added_tokens():
    assert tiny_tokenizer().vocab_size == VOCAB_SIZE


def test_end_of_sequence_ids_come_from_generation_config_and_tokenizer(folder: Path):
    _write(folder, "generation_config.json", eos_token_id=[3, 9])
    _write(folder, "config.json", eos_token_id=100)
    assert tokenizer.load(folder).eos_ids == (3, 9, IM_END)


def test_without_generation_config_the_model_config_tells_the_end(folder: Path):
    _write(folder, "config.json", eos_token_id=100)
    assert tokenizer.load(folder).eos_ids == (100, IM_END)


def test_special_tokens_are_strings_or_objects_with_content(folder: Path):
    _write(folder, "tokenizer_config.json", eos_token={"content": "<|im_end|>"}, bos_token=None)
    assert tokenizer.load(folder).special_tokens == {"eos_token": "<|im_end|>"}


def test_texts_are_neither_cut_nor_filled_up_as_in_training(folder: Path):
    trained = tokenizer.load(folder).backend
    trained.enable_truncation(2)
    trained.enable_padding(length=9)
    trained.save(str(folder / "tokenizer.json"))
    ids = tokenizer.load(folder).encode("To be, or not to be", add_special_tokens=True)
    assert ids == tiny_tokenizer().encode("To be, or not to be", add_special_tokens=True)


def test_a_broken_file_is_a_model_error_that_names_it(folder: Path):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        tokenizer.load(folder)


def test_a_config_that_is_no_json_is_a_model_error_that_names_it(folder: Path):
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json is no JSON"):
        tokenizer.load(folder)


def test_loading_imports_neither_torch_nor_transformers():
    code = (
        "import sys, pathlib; from radixloom_runtime.text import tokenizer;"
        f"tokenizer.load(pathlib.Path({str(FOLDER)!r}));"
        "sys.exit(bool({'torch', 'transformers', 'jax'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_transformers_splits_text_the_same_way():
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(FOLDER)
    text = "Hello  world, 3.14 — don't!\n\n\tx = [1, 2]"
    assert tiny_tokenizer().encode(text, add_special_tokens=True) == reference.encode(text)


@pytest.mark.slow
def test_a_folder_without_any_tokenizer_is_a_model_error(tmp_path: Path):
    with pytest.raises(ModelError, match=r"wanted a tokenizer\.json"):
        tokenizer.load(tmp_path)


def test_a_vocabulary_that_only_the_checkpoints_own_code_reads_is_refused_by_name(tmp_path):
    (tmp_path / "qwen.tiktoken").write_text("IQ== 0\n")
    with pytest.raises(ModelError, match=r"wanted a tokenizer\.json .* found qwen\.tiktoken"):
        tokenizer.load(tmp_path)
