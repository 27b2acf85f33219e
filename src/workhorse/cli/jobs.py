"""`workhorse jobs …`: the group; looking is in `jobs_look`, changing in `jobs_change`."""

from __future__ import annotations

import click

from workhorse.cli.jobs_change import cancel, delete, requeue
from workhorse.cli.jobs_look import list_, logs, show, wait, watch
from workhorse.cli.root import HelpfulGroup


@click.group(cls=HelpfulGroup)
def jobs() -> None:
    """List, show, watch, cancel, requeue jobs."""


for command in (list_, show, watch, wait, logs, cancel, requeue, delete):
    jobs.add_command(command)
