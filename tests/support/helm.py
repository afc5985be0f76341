"""The chart, and the helm of this environment."""

import subprocess
import sys
from pathlib import Path

CHART = Path(__file__).parents[2] / "charts" / "radixloom"
HELM = Path(sys.executable).with_name("helm")


def helm(*argv: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([HELM, *argv], capture_output=True, text=True, check=False)
