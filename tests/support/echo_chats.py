"""A checkpoint whose chat template writes the user's words alone.

Before the echo engine, which answers with the prompt's own tokens, they are the answer.
"""

import json
import shutil
from pathlib import Path

from support.tiny import FOLDER

TEMPLATE = (
    "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}<|im_end|>"
    "{# tools tool_calls <tool_call> <think> #}{% if tools or enable_thinking %}{% endif %}"
)
"""Its comment tells the formats of calls and of thinking."""


def write_folder(folder: Path, template: str = TEMPLATE) -> Path:
    """Copy the tiny tokenizer, with another chat template."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"chat_template": template}))
    return folder
