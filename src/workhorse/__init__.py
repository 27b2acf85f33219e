"""Workhorse: a durable job queue with a supervised worker, from one SQLite file to PostgreSQL.

Every public name is here; each is loaded when it is first used, so that importing the package
costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from `typing`: while that loads, the program cannot end in its own way
if TYPE_CHECKING:
    from typing import Any

    from workhorse.app import Bound as Bound
    from workhorse.app import Kind as Kind
    from workhorse.app import Workhorse as Workhorse
    from workhorse.context import Context as Context
    from workhorse.context import Reject as Reject
    from workhorse.context import Snooze as Snooze
    from workhorse.domain.errors import ConfigurationError as ConfigurationError
    from workhorse.domain.errors import Conflict as Conflict
    from workhorse.domain.errors import InvalidJob as InvalidJob
    from workhorse.domain.errors import LeaseLost as LeaseLost
    from workhorse.domain.errors import NotFound as NotFound
    from workhorse.domain.errors import ResultTimeout as ResultTimeout
    from workhorse.domain.errors import StoreFull as StoreFull
    from workhorse.domain.errors import StoreGone as StoreGone
    from workhorse.domain.errors import TooLarge as TooLarge
    from workhorse.domain.errors import Unavailable as Unavailable
    from workhorse.domain.errors import UnknownKind as UnknownKind
    from workhorse.domain.errors import WorkhorseError as WorkhorseError
    from workhorse.domain.events import Event as Event
    from workhorse.domain.failed import JobCancelled as JobCancelled
    from workhorse.domain.failed import JobFailed as JobFailed
    from workhorse.domain.job import Job as Job
    from workhorse.domain.job import Outcome as Outcome
    from workhorse.domain.job import Priority as Priority
    from workhorse.domain.job import State as State
    from workhorse.domain.retry import Retry as Retry
    from workhorse.handle import Handle as Handle

__version__ = "0.1.0"

_HOME = {
    "app": ("Bound", "Kind", "Workhorse"),
    "context": ("Context", "Reject", "Snooze"),
    "domain.errors": (
        "ConfigurationError",
        "Conflict",
        "InvalidJob",
        "LeaseLost",
        "NotFound",
        "ResultTimeout",
        "StoreFull",
        "StoreGone",
        "TooLarge",
        "Unavailable",
        "UnknownKind",
        "WorkhorseError",
    ),
    "domain.events": ("Event",),
    "domain.failed": ("JobCancelled", "JobFailed"),
    "domain.job": ("Job", "Outcome", "Priority", "State"),
    "domain.retry": ("Retry",),
    "handle": ("Handle",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604 - all of them are text


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first asked for."""
        from importlib import import_module  # noqa: PLC0415

        try:
            module = _MODULE_OF[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
