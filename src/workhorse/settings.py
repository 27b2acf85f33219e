"""Every setting of Workhorse: its meaning, its default, what it may be.

``load()`` finds the values (see `workhorse.sources` for where and in which order), checks all
of them and, when anything is wrong, raises one `ConfigurationError` that names every problem
with its place, what was given (never a secret) and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails

from workhorse import sources
from workhorse.domain.errors import ConfigurationError, WorkhorseError
from workhorse.domain.job import check_name
from workhorse.nearest import nearest
from workhorse.sources import Found, Problem
from workhorse.urls import mask_url

DAY: Final = 86400.0

_APP: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def _none(value: Any) -> Any:
    """Read ``none`` as no limit: neither TOML nor a variable knows null."""
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


def _comma_list(value: Any) -> Any:
    """Read ``a,b`` as a list; a repeated flag gives a list whose items may be such texts."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        return value
    return [name.strip() for item in items for name in item.split(",") if name.strip()]


def _app_name(value: str) -> str:
    if not _APP.fullmatch(value):
        raise ValueError("Input should be module:attribute, as in app:app")
    return value


def _store_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not re.match(r"(sqlite:///|postgres(ql)?://).", text):
        raise ValueError(
            "Input should be a URL such as sqlite:///jobs.db (in this folder), "
            "sqlite:////var/lib/workhorse/jobs.db or postgresql://user@host/database"
        )
    return value


def _queue_names(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("Input should be one queue or more")
    for name in value:
        try:
            check_name("queue", name)
        except WorkhorseError as error:
            raise ValueError(f"Input should be names of queues, but {error}") from None
    return tuple(dict.fromkeys(value))


AppName = Annotated[str, AfterValidator(_app_name)]
StoreUrl = Annotated[SecretStr, AfterValidator(_store_url)]
Queues = Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_queue_names)]
Seconds = Annotated[float, Field(gt=0, le=10 * 365 * DAY)]
Days = Annotated[Annotated[float, Field(ge=0, le=36500)] | None, BeforeValidator(_none)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[Count | None, BeforeValidator(_none)]


class Settings(BaseModel):
    """What Workhorse can be told. Made by `load`, which finds the values and words the errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any) -> Any:
        """Refuse what would be read as the number 1 or 0."""
        if isinstance(value, bool):
            raise ValueError("Input should be neither true nor false")  # noqa: TRY004 - pydantic's
        return value

    app: AppName | None = Field(
        default=None, description="The app: `module:attribute`, importable from the current folder."
    )
    database_url: StoreUrl | None = Field(
        default=None,
        description="Where the jobs are kept. Unset: what the app says, "
        f"else `{sources.DEFAULT_DATABASE_URL}`. A secret.",
    )
    listen_url: StoreUrl | None = Field(
        default=None,
        description="Where a worker listens for new jobs when `database_url` leads through a "
        "pooler: the PostgreSQL server itself. A secret.",
    )
    queues: Queues = Field(
        default=("default",),
        description="The queues a worker takes from, in strict order, separated by commas.",
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="Jobs one child process runs at the same time."
    )
    processes: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Child processes of a worker."
    )
    poll_interval: Seconds = Field(
        default=1.0, description="Seconds between two looks for jobs when nothing rings."
    )
    lease: Seconds = Field(
        default=30.0, description="Seconds a worker's claims stand without being renewed."
    )
    renew: Seconds = Field(default=5.0, description="Seconds between two renewals of the lease.")
    shutdown_timeout: Annotated[float, Field(ge=0, le=DAY)] = Field(
        default=25.0, description="Seconds running jobs may take to finish when a worker drains."
    )
    cancel_grace: Annotated[float, Field(ge=0, le=DAY)] = Field(
        default=5.0, description="Seconds a handler may take to end once it is told to."
    )
    max_time: Annotated[Seconds | None, BeforeValidator(_none)] = Field(
        default=3600.0, description="Seconds after which a child is recycled, or `none`."
    )
    max_jobs: Limit = Field(
        default=None, description="Jobs after which a child is recycled, or `none`."
    )
    max_memory_mib: Limit = Field(
        default=None,
        description="Resident MiB above which a child, or the process of a `process` kind, "
        "is recycled, or `none`.",
    )
    restart_delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=1.0,
        description="Seconds before a child that died young is started again; doubles, up to 30, "
        "while it goes on.",
    )
    crash_loop_restarts: Count = Field(
        default=sources.CRASH_LOOP_RESTARTS,
        description="A worker is unhealthy when more children than that died within "
        "`crash_loop_minutes`.",
    )
    crash_loop_minutes: Annotated[float, Field(gt=0, le=1440)] = Field(
        default=5.0, description="The window in which those deaths are counted, in minutes."
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    ] = Field(default="info", description="The least level of log line that is written.")
    log_format: Literal["auto", "json", "pretty"] = Field(
        default="auto",
        description="How log lines look; `auto` is pretty on a terminal and JSON elsewhere.",
    )
    retention_succeeded_days: Days = Field(
        default=7.0, description="Days a succeeded job is kept, or `none` for ever."
    )
    retention_cancelled_days: Days = Field(
        default=30.0, description="Days a cancelled job is kept, or `none` for ever."
    )
    retention_failed_days: Days = Field(
        default=90.0, description="Days a failed job is kept, or `none` for ever."
    )
    retention_max_jobs: Limit = Field(
        default=1_000_000, description="Finished jobs kept at most, or `none`."
    )
    retention_max_mib: Limit = Field(
        default=None,
        description="MiB that finished jobs hold at most, their record included, or `none`.",
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where each came from, and what looked odd."""

    settings: Settings
    origins: Mapping[str, str]
    """By setting; one that is not here has its default."""
    files: Mapping[str, Path]
    """Those that others can read a secret from, too, by its setting."""
    warnings: tuple[str, ...] = ()

    @property
    def database_url(self) -> str | None:
        """The database URL that was configured, whole, if one was."""
        secret = self.settings.database_url
        return None if secret is None else secret.get_secret_value()


def load(flags: Mapping[str, Any] | None = None) -> Loaded:
    """Find, check and return the settings; `flags` win over every other place.

    Raises one `ConfigurationError` that names every problem, and what else looks odd.
    """
    found = sources.find(flags)
    warnings = sources.unknown_variables(found, Settings.model_fields)
    settings, wrong = _checked(found)
    problems = [*found.problems, *wrong.values()]
    if not wrong.keys() & {"lease", "renew"}:
        problems += _contradictions(found, settings)
    if problems:
        raise ConfigurationError(_list_problems(list(dict.fromkeys(problems)), warnings))
    origins = {name: given.origin for name, given in found.values.items()}
    files = {name: given.file for name, given in found.values.items() if given.file}
    return Loaded(settings, origins, files, tuple(str(problem) for problem in warnings))


def shown(loaded: Loaded, name: str) -> Any:
    """Return a setting's value as it may be printed: plain JSON, secrets masked."""
    value = getattr(loaded.settings, name)
    if isinstance(value, SecretStr):
        return mask_url(value.get_secret_value())
    return list(value) if isinstance(value, tuple) else value


def settings_table() -> list[tuple[str, str, str, str]]:
    """Return (setting, variable, default, meaning) of every setting, for the documentation."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        text = ",".join(default) if isinstance(default, tuple) else str(default).lower()
        rows.append((name, sources.PREFIX + name.upper(), text, field.description or ""))
    return rows


def _checked(found: Found) -> tuple[Settings, Mapping[str, Problem]]:
    """Return the settings, the wrong ones at their defaults, and what is wrong, by setting."""
    values = {name: given.value for name, given in found.values.items()}
    try:
        return Settings(**values), {}
    except ValidationError as error:
        wrong = {
            str(details["loc"][0]): _problem(found, details)
            for details in reversed(error.errors(include_url=False))
        }
    right = {name: value for name, value in values.items() if name not in wrong}
    return Settings(**right), dict(reversed(wrong.items()))


def _problem(found: Found, details: ErrorDetails) -> Problem:
    """Word one of pydantic's findings."""
    name = str(details["loc"][0])
    given = found.values[name]
    if details["type"] == "extra_forbidden":
        return Problem(
            given.origin, None, f"is not a setting.{nearest(name, Settings.model_fields)}"
        )
    what = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    what = re.sub(r", (unable to parse|got a number).*", "", what)
    told = ",".join(given.value) if isinstance(given.value, tuple) else given.value  # of a flag
    value = "set (not shown)" if name in sources.SECRETS else repr(told)
    return Problem(given.origin, value, f"expected {what}")


def _contradictions(found: Found, settings: Settings) -> list[Problem]:
    """Return the problems that lie between two settings."""
    if settings.renew * 2 <= settings.lease:
        return []
    given = found.values.get("renew") or found.values.get("lease")
    origin = given.origin if given else "renew"
    return [
        Problem(
            origin,
            f"{settings.renew:g} against a lease of {settings.lease:g}"
            if origin.lower().endswith("renew")
            else f"{settings.lease:g} with renew at {settings.renew:g}",
            "expected the lease to be at least twice as long as the time between renewals",
        )
    ]


def _list_problems(problems: list[Problem], warnings: list[Problem]) -> str:
    one = len(problems) == 1
    headline = "A setting is wrong." if one else f"{len(problems)} settings are wrong."
    more = (f"Warning: {warning}" for warning in warnings)
    return "\n".join([headline, *map(str, problems), *more])
