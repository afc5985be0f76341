"""The shape of the tree: sizes, and the one package that must never exist."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for folder in ("operator", "runtime", "hack") for path in (ROOT / folder).rglob("*.py")
)
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_source_roots_are_not_packages():
    # A package named `operator` at the repository root would shadow the standard library's.
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "runtime" / "__init__.py").exists()


def test_both_halves_carry_the_project_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package in ("operator/radixloom_operator", "runtime/radixloom_runtime"):
        assert (
            f'__version__ = "{project["version"]}"' in (ROOT / package / "__init__.py").read_text()
        )


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_module_and_functions_are_small(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"
