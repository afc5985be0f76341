"""docs/proofs.md names tests that exist, and says of each item what shows it, or that none does."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "proofs.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| \d", line)]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file, name):
    tree = ast.parse((ROOT / file).read_text())
    assert name in {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}


def test_every_item_is_there_in_its_order():
    assert [int(row[0]) for row in ROWS] == list(range(1, 18))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1].strip())
def test_an_item_that_nothing_shows_says_so(row):
    shown, still_open = row[2], row[4]
    assert "`" in shown or "**" in still_open
