"""Download many files: side by side, resumable, checked.

    scratch/parts/FILE ── grows, survives a break ── checksum ── rename ──► staging/FILE

A file that stands in the staging folder was checked; one under `parts` goes on from its length.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checksums, store
from radixloom_runtime.fetch.progress import Advance, Reporter

FILES_AT_ONCE = 4
TRIES_WITHOUT_PROGRESS = 5
TRIES_AFTER_CORRUPTION = 2
FIRST_PAUSE_SECONDS = 1.0


class InterruptedTransferError(Exception):
    """The connection broke or the source was busy for a moment: worth another try."""


class _CancelledTransferError(Exception):
    """Another file failed for good, so this one stops as well."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its source describes it; `checksum` is `algorithm:hex`."""

    path: str
    num_bytes: int
    checksum: str


class Origin(Protocol):
    """What a source offers once its files are listed."""

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """Give the file's bytes from `offset` on.

        Raises: `InterruptedTransferError` where another try may help, else `FetchError`.
        """
        ...


def download(
    files: Sequence[RemoteFile],
    origin: Origin,
    place: store.Place,
    reporter: Reporter,
) -> None:
    """Bring every file into the staging folder.

    Raises: `FetchError`; what was downloaded stays for the next try.
    """
    present = sum(_bytes_present(file, place) for file in files)
    total = sum(file.num_bytes for file in files)
    store.check_disk(place, total - present)
    with reporter.bar(place.folder.name, total, present) as advance:
        transfer = _Transfer(origin, place, _one_at_a_time(advance))
        _run_all(files, transfer)


def _run_all(files: Sequence[RemoteFile], transfer: "_Transfer") -> None:
    with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="fetch") as pool:
        largest_first = sorted(files, key=lambda file: -file.num_bytes)
        running = [pool.submit(transfer.bring, file) for file in largest_first]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:  # Ctrl-C arrives here too
            transfer.cancelled.set()
            pool.shutdown(cancel_futures=True)
    _raise_first(running)


def _raise_first(finished: Sequence[Future[None]]) -> None:
    failures = [task.exception() for task in finished if not task.cancelled()]
    for failure in failures:
        if failure is not None and not isinstance(failure, _CancelledTransferError):
            raise failure


@dataclass(frozen=True, slots=True)
class _Transfer:
    """What all files of one download share."""

    origin: Origin
    place: store.Place
    advance: Advance
    cancelled: threading.Event = field(default_factory=threading.Event)

    def bring(self, file: RemoteFile) -> None:
        """Grow one file until it is whole and right, and put it in the staging folder."""
        target = self.place.staging / file.path
        if target.is_file():
            return
        part = _part(file, self.place)
        part.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(TRIES_AFTER_CORRUPTION):
            self._grow(part, file)
            if checksums.matches(part, file.checksum):
                target.parent.mkdir(parents=True, exist_ok=True)
                part.rename(target)
                return
            self.advance(-_size(part))
            part.unlink()
        raise FetchError(
            f"{file.path} came {TRIES_AFTER_CORRUPTION} times with a checksum other than its"
            f" source's {file.checksum}; the source or something between is broken"
        )

    def _grow(self, part: Path, file: RemoteFile) -> None:
        """Append until the part has the file's length; give up when tries bring nothing."""
        tries = 0
        while (length := _size(part)) < file.num_bytes:
            try:
                self._append(part, self.origin.read(file, length), file.num_bytes)
                reason = "the source ended the file too early"
            except InterruptedTransferError as interruption:
                reason = str(interruption)
            tries = 1 if _size(part) > length else tries + 1
            if tries >= TRIES_WITHOUT_PROGRESS:
                raise FetchError(
                    f"{file.path} broke off at {_size(part)} of {file.num_bytes} bytes and"
                    f" {tries} tries brought no more ({reason});"
                    " run the same command again: it goes on from there"
                )
            if _size(part) < file.num_bytes:
                self._pause(FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1))
        part.touch()  # a file of no bytes is never appended to

    def _append(self, part: Path, blocks: Iterator[bytes], limit: int) -> None:
        with part.open("ab") as file:
            for block in blocks:
                self._pause(0)
                file.write(block)
                self.advance(len(block))
                if file.tell() > limit:
                    return  # wrong anyway, and it might never end

    def _pause(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise _CancelledTransferError


def _one_at_a_time(advance: Advance) -> Advance:
    lock = threading.Lock()

    def advance_alone(num_bytes: int) -> None:
        with lock:
            advance(num_bytes)

    return advance_alone


def _part(file: RemoteFile, place: store.Place) -> Path:
    return place.scratch / "parts" / file.path


def _bytes_present(file: RemoteFile, place: store.Place) -> int:
    target = place.staging / file.path
    return file.num_bytes if target.is_file() else _size(_part(file, place))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
