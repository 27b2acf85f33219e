"""A scene: one store, one ledger, one app, and the workers a test starts on them."""

from __future__ import annotations

import importlib
import json
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.scenarios.facts import PATIENCE, eventually
from tests.scenarios.ledger import Entry, Ledger
from tests.scenarios.stores import Site
from tests.scenarios.workers import WorkerProcess
from workhorse import Workhorse
from workhorse.domain.events import Event
from workhorse.domain.job import Attempt, Job, State
from workhorse.store.protocol import Store

APPS = "tests.scenarios.apps"


class Scene:
    """What a scenario plays on. `jobs` is the app's module, bound to this scene's store."""

    def __init__(
        self, folder: Path, site: Site, ledger: Ledger, app: str, stack: ExitStack
    ) -> None:
        self.folder = folder
        self.site = site
        self.url = site.url
        self.ledger = ledger
        self.app_name = f"{APPS}.{app}:app"
        self.jobs: Any = fresh(f"{APPS}.{app}")
        self.app: Workhorse = self.jobs.app
        self.store: Store = self.app.store
        self._stack = stack
        stack.callback(self.app.close)

    def worker(self, url: str | None = None, **settings: Any) -> WorkerProcess:
        """Start a worker, by another way to the store if a `url` is given; the scene ends it."""
        told = {"ledger": self.ledger.where, **self.site.worker, **settings}
        worker = WorkerProcess(self.folder, url or self.url, self.app_name, **told)
        return self._stack.enter_context(worker)

    def listeners(self) -> int:
        """Return how many workers hear the server's bell, and have nothing else to do."""
        ((found,),) = self.site.server.sql(
            "select count(*) from pg_stat_activity where state = 'idle'"
            " and application_name = 'workhorse listener' and query like 'listen%'"
        )
        return int(found)

    def job(self, job_id: int) -> Job:
        """Return the job as the store has it now."""
        found = self.store.get(job_id)
        assert found is not None, f"job {job_id} is not in the store"
        return found

    def state(self, job_id: int) -> State:
        return self.job(job_id).state

    def until(self, job_id: int, *states: State, within: float = PATIENCE) -> Job:
        """Wait until the job is in one of `states` (default: any final one)."""
        wanted = states or (State.SUCCEEDED, State.FAILED, State.CANCELLED)
        try:
            eventually(lambda: self.state(job_id) in wanted, within=within)
        except AssertionError:
            story = "\n".join(str(event) for event in self.events(job_id))
            raise AssertionError(
                f"not {'/'.join(wanted)} within {within:g} s: {self.job(job_id)}\n{story}"
            ) from None
        return self.job(job_id)

    def attempts(self, job_id: int) -> list[Attempt]:
        return self.store.attempts(job_id)

    def outcomes(self, job_id: int) -> list[str]:
        """Return how each attempt of the job ended, oldest first."""
        return [str(attempt.outcome) for attempt in self.attempts(job_id)]

    def events(self, job_id: int | None = None, *names: str) -> list[Event]:
        """Return the record of a job (or of all); only events named in `names`, when any are."""
        found = self.store.events(job_id=job_id, limit=100_000)
        return [event for event in found if not names or event.name in names]

    def result(self, job_id: int) -> Any:
        """Return the value a succeeded job returned."""
        text = self.job(job_id).result
        return None if text is None else json.loads(text)

    def told(self, what: str, **facts: Any) -> list[Entry]:
        """Return the ledger's entries named `what` that carry these facts."""
        return [
            entry
            for entry in self.ledger.entries(what)
            if all(entry.data.get(name) == value for name, value in facts.items())
        ]

    def starts(self, job_id: int) -> int:
        """Return how many attempts of the job have really started by now."""
        self.ledger.catch_up()
        return len(self.told("start", job=job_id))

    def until_told(self, what: str, *, count: int = 1, **facts: Any) -> Entry:
        """Wait until the ledger has heard `what` with these facts; return the last of them."""
        eventually(lambda: len(self.told(what, **facts)) >= count, what=f"{count} × {what} {facts}")
        return self.told(what, **facts)[-1]


def fresh(module: str) -> ModuleType:
    """Import an app's module anew, so that its app takes the settings of this moment."""
    return importlib.reload(importlib.import_module(module))
