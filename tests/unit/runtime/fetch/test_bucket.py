"""Fetching from a bucket, against a small real server of the storage's JSON API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkpoint_folder import SHARDS, write_checkpoint
from support.faulty_files import Served, bucket_server
from support.recorded_reports import RecordedReports

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import bucket, transfer
from radixloom_runtime.fetch.bring import bring
from radixloom_runtime.fetch.bucket import BucketSource

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # gcsfs keeps its loop's socket


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(transfer, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(bucket, "RANGE_BYTES", 64 * 1024)
    with bucket_server(write_checkpoint(tmp_path / "remote", kilobytes=400)) as served:
        yield served


def fetch(storage: Served, folder: Path, path: str = "bucket/models/tiny") -> None:
    options = {"token": "anon", "endpoint_url": storage.address, "skip_instance_cache": True}
    bring(BucketSource(path, options), folder, RecordedReports())


def test_a_folder_of_a_bucket_arrives_whole(storage: Served, tmp_path: Path):
    fetch(storage, tmp_path / "tiny")
    for name in ("config.json", "tokenizer.json", *SHARDS):
        assert (tmp_path / "tiny" / name).read_bytes() == (storage.folder / name).read_bytes()
    assert not (tmp_path / "tiny" / "pytorch_model.bin").exists()


def test_large_objects_come_in_ranges(storage: Served, tmp_path: Path):
    fetch(storage, tmp_path / "tiny")
    starts = [start for name, start in storage.ranges if name == SHARDS[0]]
    assert starts == list(range(0, (storage.folder / SHARDS[0]).stat().st_size, 64 * 1024))


def test_a_corrupted_object_is_noticed_by_its_crc(storage: Served, tmp_path: Path):
    storage.faults.corrupt_left = 10_000
    with pytest.raises(FetchError, match=r"crc32c|md5"):
        fetch(storage, tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


def test_a_folder_that_is_not_there_is_refused(storage: Served, tmp_path: Path):
    with pytest.raises(FetchError, match="gs://bucket/models/other"):
        fetch(storage, tmp_path / "tiny", "bucket/models/other")


def test_a_refusal_names_the_credentials(storage: Served, tmp_path: Path):
    storage.faults.status = 403
    with pytest.raises(FetchError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        fetch(storage, tmp_path / "tiny")
