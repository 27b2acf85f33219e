"""`workhorse workers list`."""

from __future__ import annotations

from typing import Final

import click

from workhorse.cli.output import Column, print_rows
from workhorse.cli.root import HelpfulGroup
from workhorse.cli.rows import worker_row
from workhorse.cli.shared import Place, output_option, place_options
from workhorse.instants import short_instant

COLUMNS: Final = (
    Column("ID", lambda row: row["id"], right=True),
    Column("STATE", lambda row: row["state"], state=True),
    Column("HOST", lambda row: row["host"]),
    Column("PID", lambda row: row["pid"], right=True),
    Column("RUNNING", lambda row: row["running"], right=True),
    Column("SLOTS", lambda row: row["processes"] * row["concurrency"], right=True),
    Column("RESTARTS", lambda row: row["restarts"], right=True),
    Column("STARTED", lambda row: short_instant(row["started_at"])),
    Column("LEASE UNTIL", lambda row: short_instant(row["lease_until"])),
    Column("QUEUES", lambda row: ",".join(row["queues"])),
)


@click.group(cls=HelpfulGroup)
def workers() -> None:
    """See who is working."""


@workers.command("list")
@click.option("--all", "gone", is_flag=True, help="Those that are gone or lost as well.")
@output_option
@place_options
def list_(*, gone: bool, output: str, place: Place) -> None:
    """List workers, newest first."""
    with place.open_store() as store:
        workers, expired = store.workers(gone=gone), store.expired_workers()
        print_rows((worker_row(worker, expired) for worker in workers), output, COLUMNS)
