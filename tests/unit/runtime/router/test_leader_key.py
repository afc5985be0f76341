"""By which key a router asks leaders."""

from pathlib import Path

from radixloom_runtime.router.leader_key import LeaderKey
from radixloom_runtime.router_settings import RouterSettings
from radixloom_runtime.server.key_file import LOOK_SECONDS


def settings(**more: object) -> RouterSettings:
    return RouterSettings(backend=("http://127.0.0.1:1",), **more)  # type: ignore[arg-type]


def test_without_keys_it_brings_none():
    assert LeaderKey(settings(), 0).headers(0) == []


def test_the_first_of_a_file_is_brought_and_followed(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text("sk-one\nsk-two\n")
    key = LeaderKey(settings(api_key_file=path), 0)
    assert key.headers(0) == [(b"authorization", b"Bearer sk-one")]
    path.write_text("sk-two\n")
    assert key.headers(LOOK_SECONDS) == [(b"authorization", b"Bearer sk-two")]


def test_a_single_key_is_brought_before_those_of_a_file(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text("sk-one\n")
    key = LeaderKey(settings(api_key="sk-single", api_key_file=path), 0)
    assert key.headers(0) == [(b"authorization", b"Bearer sk-single")]
