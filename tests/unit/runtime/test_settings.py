from pathlib import Path

import pytest
from pydantic import ValidationError

from radixloom_runtime.settings import RuntimeSettings, cache_folder, environment


def test_nothing_needs_to_be_set():
    assert RuntimeSettings().port == 8000


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RADIXLOOM_MAX_MODEL_LEN", "2048")
    monkeypatch.setenv("RADIXLOOM_PREFIX_CACHE", "false")
    settings = RuntimeSettings()
    assert (settings.max_model_len, settings.prefix_cache) == (2048, False)


def test_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch):
    given = {"model": Path("/models/x"), "port": 80, "warmup": False, "dtype": "bfloat16"}
    for name, value in environment(**given).items():
        monkeypatch.setenv(name, value)
    assert RuntimeSettings() == RuntimeSettings.model_validate(given)


def test_rendering_leaves_out_what_was_not_given():
    assert environment(port=80, prefix_cache=False) == {
        "RADIXLOOM_PORT": "80",
        "RADIXLOOM_PREFIX_CACHE": "false",
    }


def test_rendering_does_not_look_at_this_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RADIXLOOM_PORT", "not a port")
    assert environment(model="/models/x") == {"RADIXLOOM_MODEL": "/models/x"}


@pytest.mark.parametrize(
    "bad", [{"port": 70000}, {"rank": 1}, {"memory_fraction": 0}, {"no_such_setting": 1}]
)
def test_what_the_runtime_would_refuse_cannot_be_rendered(bad: dict[str, object]):
    with pytest.raises(ValidationError):
        environment(**bad)


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        RuntimeSettings().port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_means():
    assert all(field.description for field in RuntimeSettings.model_fields.values())


def test_the_cache_folder_follows_the_desktop_convention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "radixloom"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "radixloom"


def test_drafting_needs_a_draft_model_and_a_draft_model_drafting():
    with pytest.raises(ValidationError, match="speculation draft:2 needs the model that guesses"):
        RuntimeSettings(speculation="draft:2")
    with pytest.raises(ValidationError, match="speculation draft, found ngram"):
        RuntimeSettings(speculation="ngram", draft_model=Path("small"))
    assert RuntimeSettings(speculation="draft", draft_model=Path("small")).draft_model
