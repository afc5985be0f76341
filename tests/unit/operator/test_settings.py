"""The operator's environment."""

import pytest
from pydantic import ValidationError

from radixloom_operator.settings import OperatorSettings


def test_namespaces_are_comma_separated(monkeypatch):
    monkeypatch.setenv("RADIXLOOM_OPERATOR_NAMESPACES", "team-a, team-b,")
    assert OperatorSettings().namespaces == ("team-a", "team-b")


def test_no_namespaces_means_all(monkeypatch):
    monkeypatch.setenv("RADIXLOOM_OPERATOR_NAMESPACES", "")
    assert OperatorSettings().namespaces == ()


def test_unknown_pull_policy_is_refused(monkeypatch):
    monkeypatch.setenv("RADIXLOOM_OPERATOR_IMAGE_PULL_POLICY", "Sometimes")
    with pytest.raises(ValidationError, match="Sometimes"):
        OperatorSettings()


def test_every_setting_is_described():
    for name, field in OperatorSettings.model_fields.items():
        assert field.description, name
