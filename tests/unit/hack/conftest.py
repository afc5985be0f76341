"""Make `hack` importable: it is a folder of tools, not part of the installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
