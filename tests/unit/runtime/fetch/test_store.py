"""Locks, staging, and the one rename."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import store

HOLDER = """
import sys
from pathlib import Path
from radixloom_runtime.fetch import store

with store.locked(store.Place(Path(sys.argv[1])), on_wait=lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path) -> store.Place:
    return store.Place(tmp_path / "models" / "tiny")


def staged(place: store.Place) -> store.Provenance:
    store.prepare_staging(place, "plan")
    (place.staging / "config.json").write_text("{}")
    (place.scratch / "half").write_text("scrap")
    return store.Provenance("hf://org/tiny", "abc", store.records(place))


def test_publishing_moves_everything_but_the_scratch(place: store.Place):
    store.publish(place, staged(place))
    assert {path.name for path in place.folder.iterdir()} == {"config.json", store.MARKER_NAME}
    assert not place.staging.exists()
    assert store.fetched_source(place) == "hf://org/tiny"


def test_the_marker_lists_sizes_and_checksums(place: store.Place):
    store.publish(place, staged(place))
    (record,) = json.loads(place.marker.read_text())["files"]
    assert (record["path"], record["bytes"]) == ("config.json", 2)
    assert record["checksum"].startswith("sha256:44136fa3")


def test_everyone_may_read_a_published_model_whatever_the_umask(place: store.Place):
    before = os.umask(0o077)
    try:
        store.publish(place, staged(place))
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((place.folder / "config.json").stat().st_mode) == 0o644


def test_an_empty_folder_is_filled(place: store.Place):
    place.folder.mkdir(parents=True)
    assert store.fetched_source(place) is None
    store.publish(place, staged(place))
    assert place.marker.is_file()


def test_a_folder_that_nobody_fetched_is_left_alone(place: store.Place):
    place.folder.mkdir(parents=True)
    (place.folder / "thesis.txt").write_text("years of work")
    with pytest.raises(FetchError, match="did not make it"):
        store.fetched_source(place)


def test_staging_survives_for_the_same_plan_alone(place: store.Place):
    store.prepare_staging(place, "commit 1")
    (place.staging / "half").write_text("of commit 1")
    store.prepare_staging(place, "commit 1")
    assert (place.staging / "half").exists()
    store.prepare_staging(place, "commit 2")
    assert not (place.staging / "half").exists()


def test_a_mount_point_is_refused_with_a_way_out():
    with pytest.raises(FetchError, match="--output /proc/model"):
        store.prepare_staging(store.Place(Path("/proc")), "plan")


def test_too_small_a_disk_is_told_before_the_download(place: store.Place):
    store.prepare_staging(place, "plan")
    with pytest.raises(FetchError, match=r"1000000\.0 GB are still to come"):
        store.check_disk(place, 10**15)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FetchError, match="give another --output"),
        store.locked(store.Place(tmp_path / "file" / "tiny"), on_wait=lambda: None),
    ):
        pass


@contextmanager
def another_process_holding(place: store.Place) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock until its stdin is closed."""
    command = [sys.executable, "-c", HOLDER, str(place.folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder


def test_a_second_process_waits_for_the_first_and_says_so(place: store.Place):
    waited: list[bool] = []
    with another_process_holding(place) as holder:
        assert holder.stdin is not None

        def on_wait() -> None:
            waited.append(True)
            holder.stdin.close()

        with store.locked(place, on_wait):
            assert waited == [True]


def test_a_killed_holder_blocks_nobody(place: store.Place):
    with another_process_holding(place) as holder:
        holder.kill()
        holder.wait()
        with store.locked(place, on_wait=lambda: pytest.fail("waited for the dead")):
            pass


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.models_folder() == tmp_path / "radixloom" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert store.cache_folder() == Path.home() / ".cache" / "radixloom"
