"""What there is to call, and the page `workhorse --help` prints, without loading any of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One command: where its code is, and one line about it."""

    target: str
    """``module:attribute`` of a click command."""
    about: str


SECTIONS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "First steps": {
        "init": Entry("workhorse.cli.init:init", "Write a small app and its settings here."),
        "demo": Entry(
            "workhorse.cli.demo:demo", "Run real jobs through a real worker, and watch them."
        ),
    },
    "Work": {
        "worker": Entry("workhorse.cli.worker:worker", "Run jobs until told to stop."),
        "enqueue": Entry("workhorse.cli.enqueue:enqueue", "Put one job into its queue."),
        "jobs": Entry("workhorse.cli.jobs:jobs", "List, show, watch, cancel, requeue jobs."),
        "queues": Entry("workhorse.cli.queues:queues", "List, pause and resume queues."),
        "workers": Entry("workhorse.cli.workers:workers", "See who is working."),
        "events": Entry("workhorse.cli.events:events", "Export the record of what happened."),
    },
    "Care": {
        "health": Entry("workhorse.cli.health:health", "Probe store and workers, for containers."),
        "doctor": Entry(
            "workhorse.cli.doctor:doctor", "Look for what is wrong, and say what to do."
        ),
        "migrate": Entry("workhorse.cli.migrate:migrate", "Bring the store's schema up to date."),
        "copy": Entry(
            "workhorse.cli.copy:copy", "Copy everything from one store into another, empty one."
        ),
        "config": Entry(
            "workhorse.cli.config:config", "See the settings in force and their origin."
        ),
    },
}

COMMANDS: Final[Mapping[str, Entry]] = {
    name: entry for section in SECTIONS.values() for name, entry in section.items()
}

ABOUT: Final = "A durable job queue with a supervised worker, from one SQLite file to PostgreSQL."

EXIT_CODES: Final[Mapping[int, str]] = {
    0: "all went well",
    1: "the job failed; or the store or a worker is unhealthy",
    2: "wrong usage, or arguments the kind does not take",
    3: "a setting or the app module is wrong",
    4: "the store cannot be reached",
    5: "no such job, kind or queue",
    6: "refused: the present state of the job, or store, does not allow it",
    7: "timed out waiting",
    70: "a fault in Workhorse itself, or its output cannot be written",
    130: "interrupted, or a question was answered with no",
    141: "the reader of the output went away",
}


def page() -> str:
    """Return the help page of the whole program."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "Usage: workhorse [--debug] COMMAND [ARGS]..."
    yield ""
    yield f"  {ABOUT}"
    for title, section in SECTIONS.items():
        yield ""
        yield f"{title}:"
        for name, entry in section.items():
            yield f"  {name:<9} {entry.about}"
    yield ""
    yield "Options:"
    yield "  --debug    Show the traceback behind an error (or set WORKHORSE_DEBUG=1)."
    yield "  --version  Show the version and exit."
    yield "  --help     Show this page; `workhorse COMMAND --help` shows more."
    yield ""
    yield "Exit codes:"
    for code, meaning in EXIT_CODES.items():
        yield f"  {code:<4} {meaning}"
