"""Every way to enqueue: what is stored, when it is durable, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.app.helpers import stored, work
from tests.scenarios.procs import nothing_left_open
from tests.services.fixtures import on_one_server
from tests.services.postgres import Database
from workhorse import (
    ConfigurationError,
    Handle,
    InvalidJob,
    Kind,
    NotFound,
    Priority,
    State,
    Unavailable,
    UnknownKind,
    Workhorse,
)
from workhorse.app import ENQUEUE_MANY
from workhorse.store.protocol import Store

Resize: TypeAlias = Kind[..., str]

FORKING = """
import asyncio, contextlib, os, signal, sys
from workhorse import ResultTimeout, Unavailable, Workhorse

url, closed = sys.argv[1:]
app = Workhorse(url)
work = app.job(name="work")(lambda: None)
first = work.enqueue()

async def ask():
    with contextlib.suppress(ResultTimeout):
        await first.aresult(timeout=0)

def use():
    for way in (
        work.enqueue,
        lambda: asyncio.run(work.aenqueue()),
        lambda: asyncio.run(app.aenqueue_many([work.bind()])),
        lambda: asyncio.run(ask()),
    ):
        try:
            way()
        except Unavailable as error:
            print(f"Unavailable: {error.message}", flush=True)
        else:
            print("done", flush=True)

use()
if closed == "before":
    app.close()
if child := os.fork():
    os.waitpid(child, 0)
    use()
    app.close()
else:
    signal.alarm(20)  # one that would hang is ended
    if closed == "after":
        app.close()
    use()
    os._exit(0)
"""


@pytest.fixture
def resize(app: Workhorse) -> Resize:
    @app.job(name="resize")
    def resize(picture: str, width: int = 800) -> str:
        return f"{picture} at {width}"

    return resize


def test_a_job_is_stored_when_enqueue_returns(app: Workhorse, resize: Resize) -> None:
    """Another process sees it at once, with all that was asked; its enqueue is on record."""
    handle = resize.enqueue("cat.png", width=640)
    other = Workhorse(app.url)
    try:
        job = other.get(handle.id).job
    finally:
        other.close()
    assert (job.kind, job.args) == ("resize", '{"picture":"cat.png","width":640}')
    assert (job.state, job.queue, job.priority) == (State.AVAILABLE, "default", 0)
    assert (job.timeout, job.max_attempts, job.attempt) == (3600.0, 5, 0)
    assert [event.name for event in handle.events()] == ["enqueue"]
    assert not handle.existing
    assert repr(handle) == f"<Handle {handle.id} resize available>"


def test_ids_grow(resize: Resize) -> None:
    """A later job has a higher id."""
    ids = [resize.enqueue("a").id for _ in range(3)]
    assert ids == sorted(set(ids))


def test_a_bound_job_is_checked_now_and_stored_later(app: Workhorse, resize: Resize) -> None:
    """`bind` refuses what `enqueue` would, and stores nothing."""
    bound = resize.bind("cat.png")
    with pytest.raises(InvalidJob, match=r"args\.width"):
        resize.bind("cat.png", width="wide")
    assert stored(app) == []
    assert repr(bound) == '<Bound resize {"picture":"cat.png"}>'


def test_many_jobs_are_stored_in_one_transaction(app: Workhorse, resize: Resize) -> None:
    """In their order, of any kinds and options, each with its own handle."""

    @app.job
    def other(number: int) -> int:
        return number

    bound = [
        resize.bind("a"),
        other.using(queue="q", priority="high").bind(1),
        resize.using(delay=60).bind("b"),
        resize.bind("c", width=1),
    ]
    handles: list[Handle[Any]] = app.enqueue_many(bound)
    jobs = [handle.job for handle in handles]
    assert [job.id for job in stored(app)] == [handle.id for handle in handles]
    assert [job.kind for job in jobs] == ["resize", "other", "resize", "resize"]
    assert [job.args for job in jobs][1:] == [
        '{"number":1}',
        '{"picture":"b"}',
        '{"picture":"c","width":1}',
    ]
    assert [(job.queue, job.priority) for job in jobs][1] == ("q", 10)
    assert [handle.state for handle in handles].count(State.SCHEDULED) == 1


def test_many_are_stored_all_or_none(app: Workhorse, resize: Resize) -> None:
    """One that is refused takes the others with it."""
    with pytest.raises(NotFound):
        app.enqueue_many([resize.bind("a"), resize.using(after=[999]).bind("b")])
    assert stored(app) == []
    assert app.store.events() == []


def test_many_may_be_none_or_an_iterator(app: Workhorse, resize: Resize) -> None:
    """No jobs are no jobs; anything that can be walked through will do."""
    assert app.enqueue_many([]) == []
    assert len(app.enqueue_many(resize.bind(str(n)) for n in range(3))) == 3


def test_what_is_not_bound_is_refused(app: Workhorse, resize: Resize) -> None:
    """The likely slip is named, and too many at once are refused before anything is stored."""
    with pytest.raises(InvalidJob, match=r"takes bound jobs, not a Kind\. .+bind"):
        app.enqueue_many([resize])  # type: ignore[arg-type]
    with pytest.raises(InvalidJob, match="100,001 jobs are too many"):
        app.enqueue_many([resize.bind("a")] * (ENQUEUE_MANY + 1))
    assert stored(app) == []


def test_a_bound_job_of_another_store_is_refused(
    app: Workhorse, resize: Resize, tmp_path: Path
) -> None:
    """No worker on this one may know its kind; nothing is stored, in either."""
    with closing(Workhorse(tmp_path / "other.db")) as other:
        theirs = other.job(name="theirs")(lambda: None).bind()
        told = r"'theirs' is of an app whose jobs are in sqlite:///.+other.db.+jobs.db.+its own app"
        with pytest.raises(InvalidJob, match=told):
            app.enqueue_many([resize.bind("a"), theirs])
        with pytest.raises(InvalidJob, match=told):
            asyncio.run(app.aenqueue_many([resize.bind("a"), theirs]))
        assert stored(app) == stored(other) == []


def test_one_url_may_name_two_stores(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path begins where its app was made."""
    first = Workhorse("sqlite:///jobs.db")
    (workdir / "other").mkdir()
    monkeypatch.chdir(workdir / "other")
    bound = Workhorse("sqlite:///jobs.db").job(name="theirs")(lambda: None).bind()
    with pytest.raises(InvalidJob, match=r"in sqlite:///.+/other/jobs.db, not in sqlite:///"):
        first.enqueue_many([bound])


def test_apps_on_one_store_may_enqueue_for_each_other(
    app: Workhorse, resize: Resize, inline: Workhorse
) -> None:
    """However they spell it; in inline mode, a kind that the app does not know is not run."""
    path = Path(app.url.removeprefix("sqlite:///"))
    inline.url = f"sqlite:///{path.parent}/../{path.parent.name}/{path.name}?durability=normal"
    known = inline.job(name="known")(lambda: None)
    handles = inline.enqueue_many([resize.bind("a"), known.bind()])
    assert [handle.state for handle in handles] == [State.AVAILABLE, State.SUCCEEDED]
    assert [job.kind for job in stored(app)] == ["resize", "known"]


def test_a_thousand_at_once(app: Workhorse, resize: Resize) -> None:
    """Handles stand in the order of their jobs."""
    handles = app.enqueue_many([resize.bind(str(n), width=n) for n in range(1000)])
    assert [handle.id for handle in handles] == [job.id for job in stored(app)]
    assert handles[777].job.args == '{"picture":"777","width":777}'


def test_a_job_by_name_is_checked_like_a_call(app: Workhorse, resize: Resize) -> None:
    """A kind by name with a JSON object: the same checks, the same row, the same options."""
    handle = app.enqueue_by_name("resize", {"picture": "a", "width": 5}, priority="low", queue="q")
    assert handle.job.args == resize.enqueue("a", 5).job.args
    assert (handle.job.priority, handle.job.queue) == (Priority.LOW, "q")
    with pytest.raises(UnknownKind):
        app.enqueue_by_name("resiz", {})
    with pytest.raises(InvalidJob, match=r"args\.picture: missing"):
        app.enqueue_by_name("resize", {})
    with pytest.raises(InvalidJob, match=r"dealy is no option of a job.+delay"):
        app.enqueue_by_name("resize", {"picture": "a"}, dealy=5)
    assert len(stored(app)) == 2


def test_enqueue_works_inside_a_running_loop(app: Workhorse, resize: Resize) -> None:
    """`enqueue` is for plain code and works in a coroutine too; `aenqueue` does not block it."""

    async def main() -> list[Handle[str]]:
        return [
            resize.enqueue("a"),
            await resize.aenqueue("b"),
            *await app.aenqueue_many([resize.bind("c")]),
            await resize.using(delay=60).aenqueue("d"),
        ]

    handles = asyncio.run(main())
    assert [handle.id for handle in handles] == [job.id for job in stored(app)]
    assert handles[-1].state is State.SCHEDULED


def test_aenqueue_raises_what_enqueue_raises(app: Workhorse, resize: Resize) -> None:
    """The caller meets the same errors, and nothing is stored."""

    async def refused(coroutine: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            await coroutine

    async def main() -> None:
        await refused(resize.aenqueue(5), InvalidJob)
        await refused(resize.using(after=[999]).aenqueue("a"), NotFound)
        await refused(app.aenqueue_many([resize.using(after=[9]).bind("a")]), NotFound)

    asyncio.run(main())
    assert stored(app) == []


def test_a_job_of_any_app_can_be_looked_up(app: Workhorse, resize: Resize) -> None:
    """`get` finds any job of the store; there is no job of an id that was never given."""
    handle = resize.enqueue("a")
    found = app.get(handle.id)
    assert (found.id, found.state, found.job.kind) == (handle.id, State.AVAILABLE, "resize")
    for nobody in (0, -1, 999, 2**63, 10**30):
        with pytest.raises(NotFound, match=f"no job {nobody}"):
            app.get(nobody)


def test_the_store_is_where_the_environment_says(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`WORKHORSE_DATABASE_URL`, unless the app names a store; without both ./.workhorse/jobs.db."""

    def where(app: Workhorse) -> str:
        app.job(name="noop")(lambda: None).enqueue()
        app.close()
        return app.url

    assert where(Workhorse()) == "sqlite:///.workhorse/jobs.db"
    assert (workdir / ".workhorse" / "jobs.db").exists()

    monkeypatch.setenv("WORKHORSE_DATABASE_URL", f"sqlite:///{workdir}/env.db")
    where(Workhorse())
    assert (workdir / "env.db").exists()

    where(Workhorse("sqlite:///mine.db"))
    assert (workdir / "mine.db").exists()

    monkeypatch.setenv("WORKHORSE_DATABASE_URL", "")
    assert Workhorse().url == "sqlite:///.workhorse/jobs.db"


def test_an_app_is_cheap_until_it_is_used(workdir: Path) -> None:
    """Making an app and registering kinds touches no disk; a wrong URL is told at the first use."""
    app = Workhorse("sqlite:///made/later.db")
    app.job(name="noop")(lambda: None)
    assert list(workdir.iterdir()) == []
    app.close()

    wrong = Workhorse("mysql://here")
    with pytest.raises(ConfigurationError, match="mysql"):
        _ = wrong.store


def test_a_store_out_of_reach_is_unavailable(workdir: Path) -> None:
    """One clear line, and nothing was stored."""
    (workdir / "file").write_text("not a folder")
    app = Workhorse("sqlite:///file/jobs.db")
    kind = app.job(name="noop")(lambda: None)
    with pytest.raises(Unavailable) as error:
        kind.enqueue()
    assert "\n" not in str(error.value)


@on_one_server
@pytest.mark.parametrize(
    ("closed", "said"),
    [
        ("never", "Unavailable: This store was opened before a fork and cannot be used after it."),
        ("before", "done"),
        ("after", "done"),
    ],
)
def test_an_app_that_was_used_before_a_fork(
    database: Database, tmp_path: Path, closed: str, said: str
) -> None:
    """A web server that loads the app, then forks: `close` on either side is enough.

    Without it each use in the new process, awaited or not, is an error that says so; the old one
    goes on.
    """
    for url in (database.url, f"sqlite:///{tmp_path}/jobs.db"):
        done = subprocess.run(
            [sys.executable, "-c", FORKING, url, closed],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.splitlines() == ["done"] * 4 + [said] * 4 + ["done"] * 4, done.stderr


def test_an_app_is_closed_by_with(tmp_path: Path) -> None:
    """In the end, also when that is an error."""
    stores: list[Store] = []

    def use(ending: Callable[[], object]) -> None:
        with Workhorse(tmp_path / "jobs.db") as app:
            app.job(name="work")(lambda: None).enqueue()
            stores.append(app.store)
            ending()

    use(lambda: None)
    with pytest.raises(ZeroDivisionError):
        use(lambda: 1 / 0)
    for store in stores:
        with pytest.raises(Unavailable, match="The store is closed"):
            store.get(1)


def test_a_closed_app_opens_again_when_it_is_used(app: Workhorse, resize: Resize) -> None:
    """`close` lets go of everything, twice is once, and the next use starts afresh."""
    first = resize.enqueue("a")
    app.close()
    app.close()
    second = resize.enqueue("b")
    assert second.id > first.id
    assert first.refresh().state is State.AVAILABLE


def test_closing_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """Whatever the app opened to enqueue, in plain code and on a loop, is closed again."""
    app = Workhorse(f"sqlite:///{tmp_path / 'jobs.db'}")
    kind = app.job(name="noop")(lambda: None)

    def everything() -> None:
        kind.enqueue()
        asyncio.run(_aenqueue(kind))
        app.close()

    everything()
    with nothing_left_open():
        for _ in range(5):
            everything()


def test_an_app_that_is_let_go_of_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """Made for one enqueue and forgotten, without `close`: it keeps nothing."""

    def forgotten() -> None:
        app = Workhorse(f"sqlite:///{tmp_path / 'jobs.db'}")
        app.job(name="noop")(lambda: None).enqueue()

    forgotten()
    gc.collect()
    with nothing_left_open():
        for _ in range(50):
            forgotten()
        gc.collect()


async def _aenqueue(kind: Kind[[], None]) -> None:
    await kind.aenqueue()


def test_many_threads_share_one_app(app: Workhorse, resize: Resize) -> None:
    """The store is opened once, whoever comes first; every job is stored once."""
    ready = threading.Barrier(8)
    opened: list[object] = []

    def enqueue() -> None:
        ready.wait()
        opened.append(app.store)
        for number in range(10):
            resize.enqueue("a", number)

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, opened))) == 1
    assert len(stored(app)) == 80


def test_a_worker_that_sleeps_is_woken(app: Workhorse, resize: Resize) -> None:
    """Every way to enqueue rings the sleepers beside the store, and so does a cancel."""
    from workhorse.engine.wake import Sleeper

    assert app.store.run_dir is not None
    sleeper = Sleeper(app.store.run_dir, "test")
    rung: list[None] = []

    def heard() -> bool:
        rung.clear()
        try:
            sleeper.socket.recv(16)
        except BlockingIOError:
            return False
        sleeper.drain(lambda: None)
        return True

    try:
        ways: list[Callable[[], Any]] = [
            lambda: resize.enqueue("a"),
            lambda: app.enqueue_many([resize.bind("a")]),
            lambda: asyncio.run(resize.aenqueue("a")),
            lambda: app.enqueue_by_name("resize", {"picture": "a"}),
            lambda: resize.enqueue("a").cancel(),
        ]
        for way in ways:
            assert not heard()
            way()
            assert heard()
    finally:
        sleeper.close()


def test_what_is_enqueued_can_be_run(app: Workhorse, resize: Resize) -> None:
    """However it was enqueued, its result comes back as the type it promises."""
    one, two = resize.enqueue("a"), app.enqueue_by_name("resize", {"picture": "b", "width": 2})
    work(app, one.id, two.id)
    assert (one.result(timeout=1), two.result(timeout=1)) == ("a at 800", "b at 2")


def test_an_acknowledged_job_survives_a_kill(tmp_path: Path) -> None:
    """The process that enqueued dies at once, without closing anything: the job is there."""
    code = (
        "import os, signal\n"
        "from workhorse import Workhorse\n"
        f"app = Workhorse('sqlite:///{tmp_path / 'jobs.db'}')\n"
        "app.job(name='noop')(lambda: None).enqueue()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        assert connection.execute("select kind, state from jobs").fetchall() == [
            ("noop", "available")
        ]
    connection.close()
