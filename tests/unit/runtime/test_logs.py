import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from radixloom_runtime import logs
from radixloom_runtime.settings import LogFormat
logs.configure(level={level!r}, form=LogFormat({form!r}), process="server")
log = structlog.get_logger()
log.debug("too.quiet")
log.info("request.finished", output_tokens=3)
logging.getLogger("uvicorn").warning("from %s", "outside")
secret = "not for the log"
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def _lines(*, level: str = "info", form: str = "json") -> list[str]:
    """What a process of its own writes: logging is set up once per process."""
    code = SCRIPT.format(level=level, form=form)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_lines_carry_event_process_level_and_time():
    first, second, third = map(json.loads, _lines())
    assert first["event"] == "request.finished"
    assert (first["process"], first["level"], first["output_tokens"]) == ("server", "info", 3)
    assert first["timestamp"].endswith("Z")
    assert (second["logger"], second["message"]) == ("uvicorn", "from outside")
    assert "ZeroDivisionError" in third["exception"]


def test_the_level_is_respected():
    assert [json.loads(line)["event"] for line in _lines(level="error")] == ["broken"]


def test_text_lines_are_for_people_and_show_no_local_variables():
    text = "\n".join(_lines(form="text"))
    assert "request.finished" in text
    assert "output_tokens=3" in text
    assert "ZeroDivisionError" in text
    assert "not for the log" not in text
