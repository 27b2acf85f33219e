"""The one room where the floors are wired together: settings → app, store, worker.

Everything is imported when it is asked for, so that a command pays only for what it uses.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from workhorse.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from workhorse.app import Workhorse
    from workhorse.engine.config import WorkerConfig
    from workhorse.settings import Loaded
    from workhorse.store.protocol import Retention, Store


def open_app(loaded: Loaded) -> Workhorse:
    """Return the app that the settings name, on the store that the settings name.

    An app made without a URL takes the configured one. What it prints as it is imported goes to
    stderr: stdout is for what the command prints. Raises `ConfigurationError` when no app
    is named, when it cannot be imported, and when app and settings name two different stores:
    jobs put into one would never be seen by a worker on the other.
    """
    from workhorse.app import Workhorse  # noqa: PLC0415
    from workhorse.engine.loading import load_app  # noqa: PLC0415

    name = app_name(loaded)
    offer_url(loaded)
    with redirect_stdout(sys.stderr):
        app = load_app(name)
    if not isinstance(app, Workhorse):
        raise ConfigurationError(f"{name!r} is a {type(app).__name__}, not a Workhorse app.")
    refuse_two_stores(loaded, app.url)
    return app


def app_name(loaded: Loaded) -> str:
    """Return the name of the app, ``module:attribute``. `ConfigurationError` when there is none."""
    if loaded.settings.app is None:
        raise ConfigurationError(
            "No app is named.",
            hint="Give --app module:attribute, set WORKHORSE_APP, or put app = "
            '"module:attribute" into workhorse.toml (`workhorse init` writes one).',
        )
    return loaded.settings.app


def offer_url(loaded: Loaded) -> None:
    """Let an app that is made without a URL, here or in a child, find the configured one.

    One that is in a file stays there: what handlers start is to find no password beside them.
    """
    url, variable = loaded.database_url, "WORKHORSE_DATABASE_URL"
    if url is not None:
        file = loaded.files.get("database_url")
        os.environ.pop(f"{variable}_FILE", None)
        os.environ.pop(variable, None)  # the two would contradict each other
        if file is None:
            os.environ[variable] = url
        else:
            os.environ[f"{variable}_FILE"] = str(file)


def refuse_two_stores(loaded: Loaded, url: str) -> None:
    """Raise `ConfigurationError` unless the app's `url` is the configured store, if one is."""
    from workhorse.store.opening import same_store  # noqa: PLC0415
    from workhorse.urls import mask_url  # noqa: PLC0415

    configured = loaded.database_url
    if configured is None or same_store(configured, url):
        return
    raise ConfigurationError(
        f"The app {loaded.settings.app!r} keeps its jobs in {mask_url(url)}, but "
        f"{loaded.origins['database_url']} says {mask_url(configured)}.",
        hint="Name the store in one of the two places only.",
    )


def store_url(loaded: Loaded) -> str:
    """Return where the jobs are: what is configured, else what the app says, else the default."""
    from workhorse.sources import DEFAULT_DATABASE_URL  # noqa: PLC0415

    if loaded.database_url is not None:
        return loaded.database_url
    if loaded.settings.app is not None:
        return open_app(loaded).url
    return DEFAULT_DATABASE_URL


def open_store(loaded: Loaded, *, create: bool = False) -> Store:
    """Return the store that the settings name, open. Raises `Unavailable` in one clear line.

    A SQLite file that is not there is made, and a PostgreSQL schema that is not there or too old
    let pass, only with `create`.
    """
    from workhorse.store.opening import open_store as open_url  # noqa: PLC0415
    from workhorse.urls import refuse_missing  # noqa: PLC0415

    url = store_url(loaded)
    if not create:
        refuse_missing(url)
    return open_url(url, migrating=create)


def worker_config(loaded: Loaded, *, burst: bool = False) -> WorkerConfig:
    """Return what the settings say of a worker. Raises `ConfigurationError` without an app."""
    from workhorse.engine.config import WorkerConfig  # noqa: PLC0415
    from workhorse.sources import current_folder  # noqa: PLC0415

    settings = loaded.settings
    return WorkerConfig(
        app=app_name(loaded),
        queues=settings.queues,
        processes=settings.processes,
        concurrency=settings.concurrency,
        poll_interval=settings.poll_interval,
        lease=settings.lease,
        renew=settings.renew,
        shutdown_timeout=settings.shutdown_timeout,
        cancel_grace=settings.cancel_grace,
        max_time=settings.max_time,
        max_jobs=settings.max_jobs,
        max_memory_mib=settings.max_memory_mib,
        restart_delay=settings.restart_delay,
        crash_loop_restarts=settings.crash_loop_restarts,
        crash_loop_minutes=settings.crash_loop_minutes,
        burst=burst,
        folder=str(current_folder()),
        log_level=settings.log_level,
        log_format=settings.log_format,
        listen_url=listen_url(loaded),
        retention=_retention(loaded),
    )


def listen_url(loaded: Loaded) -> str | None:
    """Return where workers listen, if that is not where the jobs are."""
    url = loaded.settings.listen_url
    return None if url is None else url.get_secret_value()


def _retention(loaded: Loaded) -> Retention:
    from workhorse.settings import DAY  # noqa: PLC0415
    from workhorse.store.protocol import Retention  # noqa: PLC0415

    settings = loaded.settings

    def seconds(days: float | None) -> float | None:
        return None if days is None else days * DAY

    return Retention(
        succeeded=seconds(settings.retention_succeeded_days),
        cancelled=seconds(settings.retention_cancelled_days),
        failed=seconds(settings.retention_failed_days),
        max_jobs=settings.retention_max_jobs,
        max_bytes=None if settings.retention_max_mib is None else settings.retention_max_mib << 20,
    )
