"""How the runtime's processes log: constant event names with key-values, to stderr.

    log = structlog.get_logger()
    log.info("request.finished", request_id=..., output_tokens=...)

The standard library's loggers (uvicorn, transformers) go the same way from WARNING on.
"""

import logging
import sys
from collections.abc import Mapping

import structlog
from structlog.typing import Processor
from typing_extensions import override

from radixloom_runtime.settings import LogFormat

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def configure(*, level: str, form: LogFormat, process: str) -> None:
    """Set up logging for this process; `process` is bound to every line."""
    renderer = _json_renderer() if form is LogFormat.JSON else _text_renderer()
    structlog.configure(
        processors=[*_SHARED, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.root.handlers = [_Forward()]
    logging.root.setLevel(logging.WARNING)


def _text_renderer() -> tuple[Processor, ...]:
    # Plain tracebacks: rich ones take seconds and show local variables, prompts among them.
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )
    return (renderer,)


def _json_renderer() -> tuple[Processor, ...]:
    return (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())


class _Forward(logging.Handler):
    """Hands records of the standard library's loggers to structlog."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        fields: Mapping[str, object] = {"logger": record.name, "message": record.getMessage()}
        structlog.get_logger().log(
            record.levelno, "library.message", exc_info=record.exc_info, **fields
        )
