"""Both images are built the same way: pinned, without root, from the base that they name."""

import re

import pytest

from hack.images import builders, recipe

RECIPES = [pytest.param(one, id=one.name) for one in recipe.RECIPES]


def last_stage(text):
    return text[text.rindex("\nFROM ") :]


@pytest.mark.parametrize("image", RECIPES)
def test_an_image_runs_as_a_user_that_is_not_root(image):
    assert re.findall(r"^USER (.*)$", image.dockerfile.read_text(), re.MULTILINE) == ["65532:65532"]


@pytest.mark.parametrize("image", RECIPES)
def test_what_pip_installs_is_pinned_by_hash(image):
    commands = image.dockerfile.read_text().replace("\\\n", " ").splitlines()
    installs = [line for line in commands if "pip" in line and " -r " in line]
    assert len(installs) == 2
    for line in installs:
        assert "--require-hashes" in line
        assert "--only-binary :all:" in line


@pytest.mark.parametrize("image", RECIPES)
def test_build_tools_do_not_reach_the_image(image):
    assert "/tools" not in last_stage(image.dockerfile.read_text())


@pytest.mark.parametrize("image", RECIPES)
def test_an_image_is_for_the_python_that_its_packages_are_resolved_for(image):
    base = builders.default_base(image.dockerfile.read_text())
    lock = (recipe.REPOSITORY / "hack" / "lock.sh").read_text()
    (version,) = re.findall(r"--python-version (\S+)", lock)
    assert re.search(rf"python:{re.escape(version)}-slim-bookworm$", base)


@pytest.mark.parametrize("image", RECIPES)
def test_the_entry_point_is_a_command_of_the_package(image):
    (program,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', image.dockerfile.read_text(), re.MULTILINE)
    project = (recipe.REPOSITORY / "pyproject.toml").read_text()
    assert f"\n{program} = " in project


def test_a_tag_follows_names_and_contents_of_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "REPOSITORY", tmp_path)
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    second.write_text("x")
    tag = recipe.digest(iter([first]))
    assert tag == recipe.digest(iter([first]))
    assert tag != recipe.digest(iter([second]))
    first.write_text("y")
    assert tag != recipe.digest(iter([first]))


@pytest.mark.parametrize("image", RECIPES)
def test_a_tag_covers_all_that_the_dockerfile_copies(image):
    inputs = {str(path.relative_to(recipe.REPOSITORY)) for path in image.inputs()}
    text = image.dockerfile.read_text().replace("${EXTRA}", image.name)
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    assert copied
    for source in " ".join(copied).split():
        assert any(name == source or name.startswith(f"{source}/") for name in inputs), source


def test_only_what_the_dockerfiles_copy_is_sent_to_the_builder():
    lines = (recipe.REPOSITORY / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    for image in recipe.RECIPES:
        text = image.dockerfile.read_text().replace("${EXTRA}", image.name)
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
            for source in sources.split():
                assert any(source == one or source.startswith(f"{one}/") for one in sent), source
