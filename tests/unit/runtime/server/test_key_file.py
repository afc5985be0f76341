"""A file of keys that changes while it is used, as a mounted Secret does."""

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from radixloom_runtime.server.key_file import LOOK_SECONDS, KeyFile
from radixloom_runtime.server.keys import Keys, UnauthorizedError

OLD, NEW = "sk-old-55aa", "sk-new-66bb"


class Secret:
    """A mounted Secret: a file behind a link to a folder, turned to another one at once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        (folder / "keys").symlink_to("..data/keys")

    @property
    def path(self) -> Path:
        return self._folder / "keys"

    def become(self, text: str) -> None:
        self._count += 1
        version = self._folder / f"..{self._count}"
        version.mkdir()
        (version / "keys").write_text(text)
        (self._folder / "..turning").symlink_to(version.name)
        (self._folder / "..turning").replace(self._folder / "..data")


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    made = Secret(tmp_path)
    made.become(f"{OLD}\n")
    return made


def test_what_changed_is_told_once_and_when_it_is_time_to_look(secret: Secret):
    file = KeyFile(secret.path)
    assert file.read(100) == (OLD,)
    assert file.news(100 + LOOK_SECONDS) is None
    secret.become(f"{OLD}\n{NEW}\n")
    assert file.news(99 + 2 * LOOK_SECONDS) is None
    assert file.news(100 + 2 * LOOK_SECONDS) == (OLD, NEW)
    assert file.news(100 + 3 * LOOK_SECONDS) is None


@pytest.mark.parametrize("text", ["", "two words\n"])
def test_a_file_that_went_wrong_leaves_the_keys_as_they_were(
    secret: Secret, text: str, capsys: pytest.CaptureFixture[str]
):
    file = KeyFile(secret.path)
    file.read(0)
    secret.become(text)
    assert file.news(LOOK_SECONDS) is None
    told = "".join(capsys.readouterr())
    assert "keys.unreadable" in told
    assert "two words" not in told
    assert file.news(2 * LOOK_SECONDS) is None
    assert "keys.unreadable" not in "".join(capsys.readouterr())
    secret.become(f"{NEW}\n")
    assert file.news(3 * LOOK_SECONDS) == (NEW,)


def test_a_file_that_is_gone_leaves_the_keys_as_they_were(secret: Secret):
    file = KeyFile(secret.path)
    file.read(0)
    secret.path.unlink()
    assert file.news(LOOK_SECONDS) is None


def test_a_server_takes_a_new_key_and_refuses_the_old_one_without_a_restart(secret: Secret):
    now = 0.0
    keys = Keys(file=KeyFile(secret.path), clock=lambda: now)

    def is_taken(key: str) -> bool:
        try:
            keys.check("GET", "/v1/models", Headers({"x-api-key": key}))
        except UnauthorizedError:
            return False
        return True

    assert (is_taken(OLD), is_taken(NEW)) == (True, False)
    secret.become(f"{NEW}\n")
    now += LOOK_SECONDS
    assert (is_taken(OLD), is_taken(NEW)) == (False, True)
