"""Who builds an image, by what a `docker` on PATH answers; a script stands in for the engine."""

from pathlib import Path

import pytest

from hack.images import builders


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a `docker` that succeeds at all it is told."""
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_docker_builds_where_it_has_buildx_and_the_base_image(docker: Path, tmp_path: Path):
    assert docker.exists()
    assert isinstance(builders.choose(tmp_path), builders.Docker)


@pytest.mark.parametrize("lacking", ["info", "buildx", "image|pull"])
def test_buildah_builds_where_docker_lacks_what_the_dockerfiles_need(
    docker: Path, tmp_path: Path, lacking: str
):
    docker.write_text(f'#!/bin/sh\ncase "$1" in {lacking}) exit 1;; esac\n')
    assert isinstance(builders.choose(tmp_path), builders.Buildah)
