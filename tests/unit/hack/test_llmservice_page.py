"""docs/llmservice.md says what the API server checks."""

import pytest

from hack import llmservice_page
from hack.llmservice_page import PAGE, page
from radixloom_operator.api.types import LLMServiceSpec


def test_the_page_is_what_make_docs_writes():
    assert PAGE.read_text("utf-8") == page(), "`make docs` renews it"


def test_make_docs_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(llmservice_page, "PAGE", tmp_path / "llmservice.md")
    assert llmservice_page.main() == 0
    assert (tmp_path / "llmservice.md").read_text("utf-8") == page()


@pytest.mark.parametrize("name", sorted(LLMServiceSpec.model_fields))
def test_every_field_of_a_spec_has_a_row(name):
    alias = LLMServiceSpec.model_fields[name].alias or name
    section = page().split("### `spec`")[1].split("###")[0]
    camel = alias.split("_")[0] + "".join(part.title() for part in alias.split("_")[1:])
    assert f"| `{camel}` |" in section


def test_every_row_says_what_its_field_means():
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    empty = [row for row in rows if not row.strip("|").split(" | ")[-1].strip(" |")]
    assert not empty


@pytest.mark.parametrize(
    "said",
    [
        "| `generation` | `",
        "int32 ≥ 0, ≤ 1000",
        "| `uri` | string | required |",
        "maxSurge and maxUnavailable cannot both be 0",
        "google.com/tpu is computed from spec.tpu",
        "map to quantity",
        "### `status.slices[].startup`",
    ],
)
def test_kinds_bounds_defaults_and_rules_are_told(said):
    assert said in page()
