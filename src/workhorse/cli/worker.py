"""`workhorse worker`: run jobs until told to stop."""

from __future__ import annotations

from typing import Any

import click

from workhorse.cli.shared import Place, place_options


@click.command()
@click.option("-q", "--queues", multiple=True, help="Queues in strict order: a,b or repeated.")
@click.option("-c", "--concurrency", help="Jobs one child process runs at once.")
@click.option("-p", "--processes", help="Child processes.")
@click.option(
    "--burst",
    is_flag=True,
    help="End when nothing is left that can run now; leave what is due later, and end with 4 when "
    "the store is out of reach.",
)
@click.option("--poll-interval", help="Seconds between two looks when nothing rings.")
@click.option("--lease", help="Seconds claims stand without being renewed.")
@click.option("--renew", help="Seconds between two renewals.")
@click.option("--shutdown-timeout", help="Seconds running jobs may take when it drains.")
@click.option("--cancel-grace", help="Seconds a handler may take to end once told to.")
@click.option("--max-time", help="Recycle a child after so many seconds, or none.")
@click.option("--max-jobs", help="Recycle a child after so many jobs, or none.")
@click.option("--max-memory-mib", help="Recycle a child above so much resident memory, or none.")
@click.option("--restart-delay", help="Seconds before a child that died young is started again.")
@click.option("--crash-loop-restarts", help="More restarts than this make it unhealthy …")
@click.option("--crash-loop-minutes", help="… within so many minutes.")
@click.option("--log-level", help="debug, info, warning or error.")
@click.option("--log-format", help="auto, json or pretty.")
@place_options
def worker(*, place: Place, burst: bool, **flags: Any) -> int:
    """Run jobs until told to stop.

    SIGTERM, Ctrl-C or a closed terminal drains: nothing new is claimed, running jobs may finish,
    the rest is given back. A second signal tells them to end at once, a third ends them. Every
    option but --burst is a setting too: see `workhorse config show`.
    """
    from functools import partial

    from workhorse import logs
    from workhorse.bootstrap import offer_url, refuse_two_stores, worker_config
    from workhorse.engine.streams import forgive
    from workhorse.engine.supervisor import run_worker

    loaded = place.settings(**flags)
    config = worker_config(loaded, burst=burst)
    logs.configure(config.log_level, config.log_format, forgive())
    offer_url(loaded)
    return run_worker(config, check_url=partial(refuse_two_stores, loaded))
