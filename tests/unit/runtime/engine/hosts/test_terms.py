"""What hosts must have in common, and how a difference is told."""

import json

import pytest

from radixloom_runtime.engine.hosts.terms import (
    OWN_SETTINGS,
    mismatch,
    require_slice_settings,
    terms_of,
)
from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings

SECRET = "sixteen characters"


def host(rank: int = 0, **settings) -> RuntimeSettings:
    return RuntimeSettings(num_hosts=2, rank=rank, **settings)


def test_the_settings_that_may_differ_exist():
    assert set(RuntimeSettings.model_fields) >= OWN_SETTINGS


def test_hosts_of_one_template_agree():
    leader, follower = host(port=8000), host(1, port=8001, log_level="debug")
    assert mismatch(terms_of(leader), terms_of(follower), rank=1) is None


def test_a_setting_that_changes_steps_is_named_with_both_values():
    why = mismatch(terms_of(host(step_tokens=64)), terms_of(host(1, step_tokens=32)), rank=1)
    assert why is not None
    assert "step_tokens is 64 on rank 0 and 32 on rank 1" in why


def test_checkpoints_with_another_configuration_or_other_weights_differ(tmp_path):
    folders = [tmp_path / name for name in ("one", "same", "config", "weights")]
    for folder in folders:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"layers": 2}))
        (folder / "model.safetensors").write_bytes(b"123")
    (folders[2] / "config.json").write_text(json.dumps({"layers": 3}))
    (folders[3] / "model.safetensors").write_bytes(b"1234")
    one, same, config, weights = (terms_of(host(model=folder)) for folder in folders)
    assert mismatch(one, same, rank=1) is None
    assert "config.json" in (mismatch(one, config, rank=1) or "")
    assert "weights" in (mismatch(one, weights, rank=1) or "")


def test_draft_models_count_by_their_content_too(tmp_path):
    for name, width in (("a", 64), ("b", 64), ("c", 32)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"hidden_size": {width}}}')
    first, same, other = (
        terms_of(RuntimeSettings(speculation="draft", draft_model=tmp_path / name))
        for name in "abc"
    )
    assert mismatch(first, same, rank=1) is None
    assert "draft model's config.json is" in (mismatch(first, other, rank=1) or "")


def test_ggufs_of_another_size_or_configuration_differ(tmp_path):
    contents = (b"GGUF 2 layers", b"GGUF 2 layers", b"GGUF 3 layers", b"GGUF 2 layers and more")
    files = [tmp_path / f"{index}.gguf" for index in range(4)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    one, same, config, weights = (terms_of(host(model=file)) for file in files)
    assert mismatch(one, same, rank=1) is None
    assert "weights" in (mismatch(one, config, rank=1) or "")
    assert "weights" in (mismatch(one, weights, rank=1) or "")


def test_no_term_tells_the_secret():
    assert SECRET not in str(terms_of(host(wire_secret=SECRET)))


def test_a_slice_needs_a_secret_of_some_length_and_a_leader():
    for secret in (None, "short"):
        with pytest.raises(ConfigurationError, match="RADIXLOOM_WIRE_SECRET"):
            require_slice_settings(host(wire_secret=secret, leader_address="leader"))
    with pytest.raises(ConfigurationError, match="--leader-address"):
        require_slice_settings(host(wire_secret=SECRET))
    assert require_slice_settings(host(wire_secret=SECRET, leader_address="leader")) == (
        "leader",
        SECRET,
    )
