"""Fetching from a hub, against a real HTTP server that speaks its protocol and misbehaves."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkpoint_folder import SHARDS, write_checkpoint
from support.faulty_files import COMMIT, Served, hub_server
from support.recorded_reports import RecordedReports

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import store, transfer
from radixloom_runtime.fetch.bring import bring
from radixloom_runtime.fetch.hub import HubSource

KILOBYTES = 3000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Served]:
    with hub_server(write_checkpoint(tmp_path / "remote", kilobytes=KILOBYTES)) as served:
        yield served


@pytest.fixture(autouse=True)
def no_pauses_and_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))


def fetch(hub: Served, folder: Path, revision: str = "main") -> RecordedReports:
    reports = RecordedReports()
    bring(HubSource("org/tiny", revision, endpoint=hub.address), folder, reports)
    return reports


def assert_same_as_remote(hub: Served, folder: Path) -> None:
    for name in ("config.json", "tokenizer.json", *SHARDS):
        assert (folder / name).read_bytes() == (hub.folder / name).read_bytes()


def test_a_model_arrives_whole_and_without_what_no_server_needs(hub: Served, tmp_path: Path):
    folder = tmp_path / "models" / "tiny"
    reports = fetch(hub, folder)
    assert_same_as_remote(hub, folder)
    assert {path.name for path in folder.iterdir()} == {
        ".radixloom.json",
        "config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        *SHARDS,
    }
    assert reports.done == reports.total > 0


def test_the_marker_names_the_commit_and_every_checksum(hub: Served, tmp_path: Path):
    fetch(hub, tmp_path / "tiny", revision="v1")
    marker = json.loads((tmp_path / "tiny" / store.MARKER_NAME).read_text())
    assert marker["source"] == "hf://org/tiny@v1"
    assert marker["revision"] == COMMIT
    kinds = {file["path"]: file["checksum"].partition(":")[0] for file in marker["files"]}
    assert kinds["config.json"] == "git-sha1"
    assert kinds[SHARDS[0]] == "sha256"


def test_a_second_fetch_asks_nobody(hub: Served, tmp_path: Path):
    fetch(hub, tmp_path / "tiny")
    before = hub.requests.total()
    reports = fetch(hub, tmp_path / "tiny")
    assert hub.requests.total() == before
    assert "already" in reports.notes[-1]


def test_a_cut_connection_is_resumed_where_it_broke(hub: Served, tmp_path: Path):
    hub.faults.cut_after, hub.faults.cuts_left = 1024 * 1024, 1
    fetch(hub, tmp_path / "tiny")
    assert_same_as_remote(hub, tmp_path / "tiny")
    assert [start for _, start in hub.ranges if start] == [1024 * 1024]


def test_a_fetch_that_gave_up_leaves_no_model_and_the_next_one_goes_on(hub: Served, tmp_path: Path):
    hub.faults.cut_after, hub.faults.cuts_left = 1024 * 1024, 1
    hub.faults.status_after_cut = 503
    with pytest.raises(FetchError, match="goes on from there"):
        fetch(hub, tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()

    hub.faults.status = None
    reports = fetch(hub, tmp_path / "tiny")
    assert reports.began_at > 0
    assert_same_as_remote(hub, tmp_path / "tiny")


def test_a_server_that_ignores_ranges_gives_the_same_file(hub: Served, tmp_path: Path):
    hub.faults.cut_after, hub.faults.cuts_left = 1024 * 1024, 1
    hub.faults.ignore_ranges = True
    fetch(hub, tmp_path / "tiny")
    assert_same_as_remote(hub, tmp_path / "tiny")


def test_corrupted_content_is_fetched_again(hub: Served, tmp_path: Path):
    hub.faults.corrupt_left = 1
    reports = fetch(hub, tmp_path / "tiny")
    assert_same_as_remote(hub, tmp_path / "tiny")
    assert reports.done == reports.total


def test_content_that_stays_corrupted_never_looks_like_a_model(hub: Served, tmp_path: Path):
    hub.faults.corrupt_left = 1000
    with pytest.raises(FetchError, match="checksum"):
        fetch(hub, tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


def test_a_busy_server_is_asked_again(hub: Served, tmp_path: Path):
    hub.faults.busy_left = 3
    fetch(hub, tmp_path / "tiny")
    assert_same_as_remote(hub, tmp_path / "tiny")


def test_the_token_of_the_environment_opens_a_private_repository(
    hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub.faults.wanted_token = "hf_secret"
    with pytest.raises(FetchError, match="HF_TOKEN"):
        fetch(hub, tmp_path / "tiny")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(hub, tmp_path / "tiny")
    assert_same_as_remote(hub, tmp_path / "tiny")


@pytest.mark.parametrize(("status", "advice"), [(403, "accept the model's terms"), (404, "spell")])
def test_a_refusal_says_what_to_do(hub: Served, tmp_path: Path, status: int, advice: str):
    hub.faults.status = status
    with pytest.raises(FetchError, match=advice) as refusal:
        fetch(hub, tmp_path / "tiny")
    assert "hf://org/tiny" in str(refusal.value)


def test_an_unknown_revision_is_named(hub: Served, tmp_path: Path):
    with pytest.raises(FetchError, match="no revision 'v9'"):
        fetch(hub, tmp_path / "tiny", revision="v9")


def test_a_hub_out_of_reach_is_named(tmp_path: Path):
    with hub_server(tmp_path) as gone:
        pass
    with pytest.raises(FetchError, match=r"cannot reach http://127\.0\.0\.1"):
        fetch(gone, tmp_path / "tiny")


def test_a_repository_without_safetensors_is_refused(hub: Served, tmp_path: Path):
    for shard in SHARDS:
        (hub.folder / shard).unlink()
    with pytest.raises(FetchError, match=r"no \*\.safetensors"):
        fetch(hub, tmp_path / "tiny")


def test_two_fetches_at_once_download_once(hub: Served, tmp_path: Path):
    first, second = [
        threading.Thread(target=fetch, args=(hub, tmp_path / "tiny")) for _ in range(2)
    ]
    first.start()
    second.start()
    first.join()
    second.join()
    assert_same_as_remote(hub, tmp_path / "tiny")
    assert sorted(name for name, _ in hub.ranges) == sorted(
        ["config.json", "model.safetensors.index.json", "tokenizer.json", *SHARDS]
    )


def test_the_folder_is_named_after_repository_and_revision():
    assert HubSource("org/tiny").name == "tiny"
    assert HubSource("org/tiny", "refs/pr/1").name == "tiny@refs-pr-1"
