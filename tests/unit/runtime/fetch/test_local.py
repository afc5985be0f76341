"""Folders of this machine, copied or used in place."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.checkpoint_folder import SHARDS, write_checkpoint
from support.peft_folders import write_adapter
from support.recorded_reports import RecordedReports

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import store
from radixloom_runtime.fetch.bring import bring
from radixloom_runtime.fetch.local import ClaimSource, LocalSource


def test_a_folder_is_copied_with_what_a_server_needs(tmp_path: Path):
    original = write_checkpoint(tmp_path / "original")
    bring(LocalSource(original), tmp_path / "copy", RecordedReports())
    for name in ("config.json", "tokenizer.json", *SHARDS):
        assert (tmp_path / "copy" / name).read_bytes() == (original / name).read_bytes()
    assert not (tmp_path / "copy" / "pytorch_model.bin").exists()


def test_half_a_copy_is_completed_not_repeated(tmp_path: Path):
    original = write_checkpoint(tmp_path / "original")
    place = store.Place(tmp_path / "copy")
    source, reports = LocalSource(original), RecordedReports()
    files = [source._file(name) for name in source._names()]
    plan = "\n".join([source.uri, *(f"{file.path} {file.checksum}" for file in files)])
    store.prepare_staging(place, plan)
    half = place.scratch / "parts" / SHARDS[0]
    half.parent.mkdir()
    half.write_bytes((original / SHARDS[0]).read_bytes()[:1000])
    bring(source, place.folder, reports)
    assert reports.began_at == 1000
    assert (place.folder / SHARDS[0]).read_bytes() == (original / SHARDS[0]).read_bytes()


def test_another_model_in_the_folder_is_not_overwritten(tmp_path: Path):
    bring(LocalSource(write_checkpoint(tmp_path / "one")), tmp_path / "copy", RecordedReports())
    other = LocalSource(write_checkpoint(tmp_path / "two"))
    with pytest.raises(FetchError, match=r"holds file://.*/one, wanted file://.*/two"):
        bring(other, tmp_path / "copy", RecordedReports())


def test_a_folder_that_is_no_checkpoint_is_refused_before_any_copy(tmp_path: Path):
    with pytest.raises(FetchError, match="no checkpoint"):
        bring(LocalSource(tmp_path), tmp_path / "copy", RecordedReports())
    assert not (tmp_path / ".copy.partial").exists()


def test_an_adapter_is_copied_as_a_model_is(tmp_path: Path):
    matrix = np.zeros((8, 4), np.float32)
    save_file({"model.layers.0.self_attn.q_proj.weight": matrix}, tmp_path / "model.safetensors")
    original = write_adapter(tmp_path / "sql", tmp_path)
    bring(LocalSource(original), tmp_path / "copy", RecordedReports())
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "copy" / name).read_bytes() == (original / name).read_bytes()


def test_a_mounted_claim_is_used_in_place(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "weights" / "tiny")
    assert ClaimSource("weights", "tiny", tmp_path).located() == folder


def test_a_claim_that_is_not_mounted_is_told_with_its_path(tmp_path: Path):
    with pytest.raises(FetchError, match=f"mounted at {tmp_path}/weights"):
        ClaimSource("weights", "tiny", tmp_path).located()


def test_a_claim_without_a_checkpoint_is_refused(tmp_path: Path):
    (tmp_path / "weights").mkdir()
    with pytest.raises(FetchError, match="no checkpoint"):
        ClaimSource("weights", "tiny", tmp_path).located()
