"""docs/models.md says what the code does; the guide beside it names what there is."""

import re

import pytest

from hack import models_page
from hack.goldens import folder
from hack.models_page import PAGE, features, models_of, page
from radixloom_runtime.models.registry import ARCHITECTURES, read_config

ROOT = PAGE.parents[1]
GUIDE = (ROOT / "docs" / "add-a-family.md").read_text("utf-8")


def test_the_page_is_what_make_docs_writes():
    assert PAGE.read_text("utf-8") == page(), "`make docs` renews it"


def test_make_docs_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(models_page, "PAGE", tmp_path / "models.md")
    assert models_page.main() == 0
    assert (tmp_path / "models.md").read_text("utf-8") == page()


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_each_family_has_a_name_for_people_and_a_checkpoint_compared(architecture):
    name = models_of(architecture)
    assert name
    assert "`" not in name
    row = next(line for line in page().splitlines() if line.startswith(f"| `{architecture}`"))
    assert all(cell.strip() for cell in row.strip("|").split("|")), row


@pytest.mark.parametrize(
    ("checkpoint", "feature"),
    [
        ("gemma3-text", "sliding window in some layers"),
        ("mistral-swa", "sliding window"),
        ("gemma2", "attention soft cap"),
        ("deepseek-v3", "experts (sigmoid, in groups, shared)"),
        ("smollm3", "layers without positions"),
        ("phi3-longrope", "rope scaling longrope"),
        ("qwen3-next", "linear attention (gated delta net)"),
        ("gpt-oss-mxfp4", "attention sinks"),
    ],
)
def test_what_is_particular_about_a_network_is_named(checkpoint, feature):
    assert feature in features(read_config(folder(checkpoint)))
    assert feature not in features(read_config(folder("llama-tied")))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)+[\w.]+\.py)`", GUIDE))))
def test_the_guide_names_files_that_are_there(path):
    assert (ROOT / path).is_file()


def test_the_guides_example_is_the_file_that_it_shows():
    example, entry = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    models = ROOT / "runtime" / "radixloom_runtime" / "models"
    assert example in (models / "olmo2.py").read_text("utf-8")
    assert entry in (models / "registry.py").read_text("utf-8")


@pytest.mark.parametrize(
    ("symbol", "file"), re.findall(r"`(\w+)`(?:, `\w+`)? in `((?:\w+/)+[\w.]+\.py)`", GUIDE)
)
def test_the_guides_symbols_are_where_it_says(symbol, file):
    assert re.search(rf"^(class|def) {symbol}\b", (ROOT / file).read_text("utf-8"), re.MULTILINE)
