"""What examples and README show of clients does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hack.clients import served
from hack.clients.trying import Target

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "clients"
COMMANDS = {".py": sys.executable, ".sh": "bash"}
SAID = {
    "chat.py": r"^The capital of France is Paris\.$",
    "chat.sh": r'"content":"The capital of France is Paris\."[^$]*^data: \[DONE\]$',
    "structured.py": r"^name='Jason' age=25 mood='happy'$",
    "tools.py": r'^weather\(\{"city": "Paris"\}\): It is sunny in Paris\.$',
}
"""Script to what it prints."""

EXAMPLE_SECONDS = 120.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(served.START_SECONDS + EXAMPLE_SECONDS + 60),
]


def test_every_example_is_run_and_named_in_the_list_of_them():
    assert {path.name for path in EXAMPLES.iterdir()} == set(SAID)
    listed = (EXAMPLES.parent / "README.md").read_text()
    assert all(f"(clients/{name})" in listed for name in SAID)


@pytest.mark.parametrize("name", SAID)
def test_an_example_prints_what_it_is_there_for(name: str, target: Target):
    given = {"OPENAI_BASE_URL": f"{target.url}/v1", "OPENAI_API_KEY": "unused"}
    command = [COMMANDS[Path(name).suffix], str(EXAMPLES / name)]
    done = subprocess.run(
        command,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=EXAMPLE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(SAID[name], done.stdout, re.MULTILINE), done.stdout


def test_what_the_readme_shows_of_openais_client_is_answered(target: Target):
    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = {"http://smollm2.default.svc:8000": target.url, '"smollm2"': f'"{target.model}"'}
    for there, here in shown.items():
        assert there in block
        block = block.replace(there, here)
    found: dict[str, Any] = {}
    exec(block, found)
    found["client"].close()
    assert "Paris" in found["answer"].choices[0].message.content
