"""Log lines on stderr: pretty for people, JSON for machines.

Importing this module costs little: structlog is loaded by the first line. Whoever logs in here
does so with `log`, whose lines never raise: one that cannot be written is dropped. Once configured,
as in a worker, nothing that an app tells structlog or `logging` can alter them; in a process of the
app's own they go where its lines go. Every line carries
``timestamp`` (ISO 8601, UTC), ``level`` and ``event``; a line about a job also `job_id`,
`kind`, `queue`, `attempt`, `worker`, and `duration` in seconds once it has ended. Arguments and
results are never logged.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import MutableMapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from workhorse.screen import clean

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Log:
    """What was configured, whenever a line is logged; what the app has, where nothing was."""

    configured: FilteringBoundLogger | None = None

    def __getattr__(self, name: str) -> Any:
        if self.configured is not None:
            return getattr(self.configured, name)
        import structlog  # noqa: PLC0415 - loaded when used

        theirs = _unfailing(structlog.get_config()["wrapper_class"])
        fallback = structlog.wrap_logger(
            None, wrapper_class=theirs, logger_factory_args=("workhorse",)
        )
        return getattr(fallback, name)


_log = _Log()
log: Final = cast("FilteringBoundLogger", _log)
"""The logger of Workhorse itself."""


def configure(
    level: str = "info",
    format: str = "auto",  # noqa: A002 - its public name
    stream: TextIO | None = None,
) -> None:
    """Write lines of `level` and above to `stream`, or stderr, as `format`.

    That is ``auto``, ``json`` or ``pretty``; ``auto`` is pretty on a terminal and JSON elsewhere.
    Pretty lines have colour only on a terminal that wants it. Lines of the standard library's
    `logging`, and of structlog, come out the same way, unless an app has them go another.
    """
    import logging  # noqa: PLC0415 - loaded when used

    import structlog  # noqa: PLC0415

    stream = stream or sys.stderr
    pretty = format == "pretty" or (format == "auto" and stream.isatty())
    render = _pretty(stream) if pretty else _json()
    stamp: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    theirs: list[Processor] = [structlog.contextvars.merge_contextvars, *stamp]
    leveled = structlog.make_filtering_bound_logger(LEVELS[level])
    _log.configured = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[*stamp, *render],
        wrapper_class=_unfailing(leveled),
        context_class=dict,
    ).bind()
    structlog.configure(
        processors=[*theirs, *render],
        wrapper_class=leveled,
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            foreign_pre_chain=[*theirs, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])


@cache
def _unfailing(bound: Any) -> Any:
    """Return that class of loggers, as one that drops what it cannot write."""

    class Unfailing(bound):  # type: ignore[misc]  # structlog makes one for each level
        def _proxy_to_logger(self, *args: Any, **kwargs: Any) -> None:
            with contextlib.suppress(Exception):
                super()._proxy_to_logger(*args, **kwargs)

    return Unfailing


def wants_colour(stream: Any) -> bool:
    """Whether `stream` is a terminal and nobody asked for no colour (NO_COLOR, TERM=dumb)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(stream.isatty())


def _pretty(stream: TextIO) -> list[Processor]:
    import structlog  # noqa: PLC0415

    return [
        _harmless,
        structlog.dev.ConsoleRenderer(
            colors=wants_colour(stream),
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
