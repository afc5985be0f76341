"""What the images install is what pyproject.toml asks for, and all that the code imports."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"radixloom_runtime", "radixloom_operator"}
HALVES = {
    "operator": ROOT / "operator" / "radixloom_operator",
    "runtime": ROOT / "runtime" / "radixloom_runtime",
}
# Imported only where the extra that brings them is installed.
OPTIONAL = {"runtime": {"libtpu"}, "operator": set()}


def pinned(extra):
    text = (ROOT / "docker" / "requirements" / f"{extra}.txt").read_text()
    rows = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in rows}


def asked(extra):
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]
    return [one for one in map(Requirement, lines) if one.name != "radixloom"]


def imported(folder):
    modules = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    return modules - OURS - set(sys.stdlib_module_names)


@pytest.mark.parametrize("extra", ["operator", "runtime", "tpu"])
def test_every_dependency_of_an_extra_is_pinned_in_its_range(extra):
    pins = pinned(extra)
    for requirement in asked(extra):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in docker/requirements/{extra}.txt; run `make lock`"
        assert requirement.specifier.contains(pins[name]), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("half", ["operator", "runtime"])
def test_every_package_that_a_half_imports_is_in_its_image(half):
    providers = packages_distributions()
    pins = pinned(half)
    missing = {
        module
        for module in imported(HALVES[half]) - OPTIONAL[half]
        if not any(canonicalize_name(name) in pins for name in providers.get(module, ()))
    }
    assert missing == set(), f"not installed by the {half} extra"


def test_the_operator_image_has_no_jax():
    assert not pinned("operator").keys() & {"jax", "jaxlib", "numpy", "transformers"}


def test_the_tpu_image_is_the_runtime_image_and_libtpu():
    runtime, tpu = pinned("runtime"), pinned("tpu")
    assert {name: tpu.get(name) for name in runtime} == runtime
    assert "libtpu" in tpu


@pytest.mark.parametrize("extra", ["build", "operator", "runtime", "tpu"])
def test_every_pin_has_a_hash(extra):
    text = (ROOT / "docker" / "requirements" / f"{extra}.txt").read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
