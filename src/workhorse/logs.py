"""Log lines on stderr: pretty for people, JSON for machines.

Importing this module costs little: structlog is loaded by the first call. Every line carries
``timestamp`` (ISO 8601, UTC), ``level`` and ``event``; a line about a job also `job_id`,
`kind`, `queue`, `attempt`, `worker`, and `duration` in seconds once it has ended. Arguments and
results are never logged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from workhorse.screen import clean

if TYPE_CHECKING:
    from structlog.typing import Processor

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str = "info", format: str = "auto") -> None:  # noqa: A002 - its public name
    """Write lines of `level` and above to stderr as `format`: ``auto``, ``json`` or ``pretty``.

    ``auto`` is pretty on a terminal and JSON elsewhere. Pretty lines have colour only on a
    terminal that wants it. Lines of the standard library's `logging` come out the same way.
    """
    import logging  # noqa: PLC0415 - loaded when used

    import structlog  # noqa: PLC0415

    pretty = format == "pretty" or (format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = _pretty() if pretty else _json()
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])


def wants_colour(stream: Any) -> bool:
    """Whether `stream` is a terminal and nobody asked for no colour (NO_COLOR, TERM=dumb)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(stream.isatty())


def _pretty() -> list[Processor]:
    import structlog  # noqa: PLC0415

    return [
        _harmless,
        structlog.dev.ConsoleRenderer(
            colors=wants_colour(sys.stderr),
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
        ),
    ]


def _harmless(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep what a handler said from steering the terminal, or forging a line."""
    for name, value in line.items():
        if isinstance(value, str) and name != "exception":
            line[name] = clean(value)
    return line


def _json() -> list[Processor]:
    import structlog  # noqa: PLC0415

    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
