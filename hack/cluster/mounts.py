"""Find and undo the mounts that pods left below a folder."""

import re
from pathlib import Path

from hack.cluster.shell import succeeds

_MOUNTINFO = Path("/proc/self/mountinfo")
_ROUNDS = 3


def below(folder: Path, mountinfo: str) -> list[str]:
    """List mount points at or below `folder`, those mounted last first.

    The kernel writes spaces and the like as octal escapes.
    """
    points = [_unescape(line.split()[4]) for line in mountinfo.splitlines() if line]
    prefix = f"{folder}/"
    return [point for point in reversed(points) if f"{point}/".startswith(prefix)]


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def unmount_below(folder: Path) -> list[str]:
    """Unmount everything below `folder`; return what could not be."""
    for _ in range(_ROUNDS):
        points = below(folder, _MOUNTINFO.read_text())
        if not points:
            return []
        for point in points:
            # Lazily where it is busy: a dying process may hold it a moment longer.
            if not succeeds(["umount", point]):
                succeeds(["umount", "--lazy", point])
    return below(folder, _MOUNTINFO.read_text())
