from pathlib import Path

import pytest
from pydantic import ValidationError

from radixloom_runtime.router_settings import RouterSettings, environment

ONE = "http://10.0.0.1:8000"


def test_the_environment_lists_leaders_with_commas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RADIXLOOM_BACKEND", f"{ONE},http://10.0.0.2:8000/")
    assert RouterSettings().backend == (ONE, "http://10.0.0.2:8000")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "found neither"),
        ({"backend": (ONE,), "discover": "leaders:80"}, "found both"),
        ({"backend": ("10.0.0.1:8000",)}, "wanted addresses like"),
        ({"backend": (f"{ONE}/v1",)}, "without path"),
        ({"discover": "leaders"}, "a DNS name and a port"),
        ({"backend": (ONE,), "requests_per_minute": 5}, "found no keys"),
        ({"backend": (ONE,), "load_factor": 0.9}, "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], complaint: str):
    with pytest.raises(ValidationError, match=complaint):
        RouterSettings(**given)


def test_rates_are_counted_where_there_are_keys():
    settings = RouterSettings(backend=(ONE,), requests_per_minute=5, api_key_file=Path("keys"))
    assert settings.requests_per_minute == 5


def test_every_setting_says_what_it_means():
    assert all(field.description for field in RouterSettings.model_fields.values())


def test_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch):
    given = {"backend": (ONE, "http://10.0.0.2:8000"), "hold_seconds": 5, "policy": "round-robin"}
    for name, value in environment(**given).items():
        monkeypatch.setenv(name, value)
    assert RouterSettings() == RouterSettings(**given)


def test_rendering_does_not_look_at_this_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RADIXLOOM_BACKEND", ONE)
    assert environment(discover="leaders:80") == {"RADIXLOOM_DISCOVER": "leaders:80"}
