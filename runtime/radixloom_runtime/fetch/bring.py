"""The one sequence of every fetch: there already? → lock → bring → check → publish."""

import errno
from pathlib import Path
from typing import Protocol

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checkpoint, store
from radixloom_runtime.fetch.progress import Reporter


class Source(Protocol):
    """Where a model comes from."""

    @property
    def uri(self) -> str:
        """What the user asked for, in its one normal form."""
        ...

    @property
    def name(self) -> str:
        """The folder's name where the user gave none."""
        ...

    def bring(self, place: store.Place, reporter: Reporter) -> store.Provenance:
        """Fill the staging folder with checked files; what is there already is used."""
        ...


def bring(source: Source, folder: Path, reporter: Reporter) -> None:
    """Make `folder` hold the whole model of `source`, or raise and leave no folder.

    Raises: `FetchError`.
    """
    place = store.Place(folder.absolute())
    if _is_there(place, source, reporter):
        return
    wait_message = f"another fetch of {place.folder} is running; waiting for it"
    with store.locked(place, on_wait=lambda: reporter.note(wait_message)):
        if _is_there(place, source, reporter):
            return
        try:
            provenance = source.bring(place, reporter)
            checkpoint.verify(place.staging)
            store.publish(place, provenance)
        except OSError as error:
            raise FetchError(_reason(error, place)) from error
    reporter.note(f"{source.uri} is in {place.folder}")


def _is_there(place: store.Place, source: Source, reporter: Reporter) -> bool:
    found = store.fetched_source(place)
    if found is None:
        return False
    if found != source.uri:
        raise FetchError(
            f"{place.folder} holds {found}, wanted {source.uri};"
            " remove the folder or give another --output"
        )
    reporter.note(f"{source.uri} is in {place.folder} already")
    return True


def _reason(error: OSError, place: store.Place) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"the disk of {place.folder.parent} is full; make room and run the same command"
            " again: it goes on where it stopped"
        )
    where = f" ({error.filename})" if error.filename else ""
    return f"cannot write the model: {error.strerror or error}{where}"
