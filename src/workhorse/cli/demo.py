"""`workhorse demo`: real jobs through a real worker."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--dir",
    "folder",
    default=".workhorse",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the demo keeps its store, its log and its files.",
)
def demo(folder: Path) -> int:
    """Run real jobs through a real worker, and watch them.

    Eight jobs: three build, test and lint a sample project; the others fail and are tried
    again, run out of time, are killed, cancelled, delayed. Exit 0 when each ended as announced,
    else 1. It takes about ten seconds.
    """
    import signal

    from workhorse.demo.run import run_demo

    # `kill` and `timeout` are to drain the worker as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return run_demo(folder)
