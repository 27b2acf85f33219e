"""`workhorse health | doctor | migrate | config show`: looking after it."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import URL, Cli
from tests.store.hands import Worker, a_job, put
from workhorse.cli.doctor import ENOUGH_FILES
from workhorse.cli.probe import Options, parse
from workhorse.engine.lease import take_lock
from workhorse.store.opening import open_store
from workhorse.store.protocol import Store

# ── health ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def here() -> str:
    return os.uname().nodename


def test_a_healthy_store(cli: Cli, store: Store, workdir: Path) -> None:
    """Exit 0 and one line; as JSON with what was looked at."""
    ran = cli("health")
    assert (ran.code, ran.out, ran.err) == (0, f"healthy: sqlite:///{workdir}/jobs.db\n", "")
    assert cli("health", "-o", "json").json == {
        "healthy": True,
        "store": f"sqlite:///{workdir}/jobs.db",
        "schema": 1,
        "workers": 0,
        "problems": [],
    }


def test_a_silent_worker_is_unhealthy(cli: Cli, store: Store) -> None:
    """Exit 1 and the reason, once its lease has run out."""
    worker = Worker(store, lease=0.001)
    time.sleep(0.002)
    ran = cli("health")
    assert ran.code == 1
    assert ran.out.startswith("unhealthy: ")
    assert f"Worker {worker.id} (host here, pid 4242) has let its lease run out" in ran.out


def test_a_worker_that_was_killed_is_unhealthy_at_once(cli: Cli, store: Store, here: str) -> None:
    """Its locked file has fallen free: its lease, which lasts for long yet, is not waited for."""
    assert store.run_dir is not None
    worker = Worker(store, host=here)
    held = take_lock(store.run_dir, worker.id, "its tree")
    with subprocess.Popen(["sleep", "60"], pass_fds=[held]) as process:
        os.close(held)
        assert cli("health", "--worker").code == 0
        process.kill()
    ran = cli("health", "--worker")
    assert ran.code == 1
    assert f"Worker {worker.id} (host {here}, pid 4242) is dead: none of its" in ran.out
    assert "No worker is alive on this host" in ran.out


@pytest.mark.parametrize(("restarts", "code"), [(5, 0), (6, 1)])
def test_a_crash_loop_is_unhealthy(cli: Cli, store: Store, restarts: int, code: int) -> None:
    """Exit 1 when children died more often than the setting allows."""
    worker = Worker(store)
    store.renew(worker.id, 30, restarts=restarts)
    ran = cli("health")
    assert ran.code == code
    assert ("is in a crash loop: its children died 6 times lately." in ran.out) == bool(code)


def test_how_often_children_may_die_is_a_setting(
    cli: Cli, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WORKHORSE_CRASH_LOOP_RESTARTS moves the limit; one that is none is told as usual."""
    worker = Worker(store)
    store.renew(worker.id, 30, restarts=6)
    monkeypatch.setenv("WORKHORSE_CRASH_LOOP_RESTARTS", "6")
    assert cli("health").code == 0
    monkeypatch.setenv("WORKHORSE_CRASH_LOOP_RESTARTS", "many")
    ran = cli("health")
    assert ran.code == 3
    assert "WORKHORSE_CRASH_LOOP_RESTARTS: is 'many'; expected a valid integer" in ran.err
    for refused in ("0", "-1"):
        monkeypatch.setenv("WORKHORSE_CRASH_LOOP_RESTARTS", refused)
        ran = cli("health")
        assert ran.code == 3
        assert f"WORKHORSE_CRASH_LOOP_RESTARTS: is '{refused}'" in ran.err


def test_a_container_wants_a_worker_of_its_own(cli: Cli, store: Store, here: str) -> None:
    """--worker: unhealthy unless one lives on this host; those elsewhere count in no way."""
    elsewhere = Worker(store, host="elsewhere")
    store.renew(elsewhere.id, 30, restarts=100)
    ran = cli("health", "--worker", "-o", "json")
    assert (ran.code, ran.json["problems"]) == (1, [f"No worker is alive on this host ({here})."])
    Worker(store, host=here)
    assert cli("health", "--worker").code == 0
    assert cli("health").code == 1


def test_a_store_out_of_reach(cli: Cli, workdir: Path) -> None:
    """Exit 4, one line, and looking has made nothing."""
    ran = cli("health", "--database-url", "sqlite:///nowhere/jobs.db")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("Error: There is no store at sqlite:///nowhere/jobs.db")
    (workdir / "text.db").write_text("this is no database, however long one looks at it\n" * 100)
    ran = cli("health", "--database-url", "sqlite:///text.db")
    assert (ran.code, ran.err) == (4, f"Error: {workdir}/text.db is not an SQLite database.\n")


def test_the_app_is_asked_where_its_store_is(cli: Cli, workdir: Path) -> None:
    """Without a configured URL the app's own is taken."""
    (workdir / "app.py").write_text(
        "from workhorse import Workhorse\napp = Workhorse('sqlite:///mine.db')\n"
    )
    open_store("sqlite:///mine.db").close()
    assert "mine.db" in cli("health", "--app", "app:app").out


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], Options()),
        (["--worker", "-o", "json"], Options(worker=True, output="json")),
        (["--app", "a:b", "--database-url", "u"], Options(app="a:b", database_url="u")),
        (["--output", "xml"], None),
        (["--output"], None),
        (["--app"], None),
        (["--help"], None),
        (["--output=json"], None),
        (["extra"], None),
    ],
)
def test_the_quick_reading_of_a_probes_options(words: list[str], options: Options | None) -> None:
    """The plain spellings are read without click; whatever else there is, is left to it."""
    assert parse(words) == options


@pytest.mark.parametrize(("words", "code"), [(["--output=json"], 0), (["-ojson"], 0), (["-x"], 2)])
def test_other_spellings_mean_the_same(cli: Cli, store: Store, words: list[str], code: int) -> None:
    """What the quick reading does not know, click does."""
    assert cli("health", *words).code == code


# ── doctor ──────────────────────────────────────────────────────────────────────────────────────


TYPED = f"""
from __future__ import annotations
import threading
from typing import TYPE_CHECKING
from workhorse import Workhorse
if TYPE_CHECKING:
    from decimal import Decimal
app = Workhorse("{URL}")

@app.job
def greet(name: str) -> None: ...

@app.job
def pay(amount: Decimal) -> None: ...

@app.job
def lock(key: threading.Lock) -> None: ...
"""


def findings(cli: Cli, *words: object) -> dict[str, list[tuple[str, str]]]:
    """Return what `doctor` found: by what it is about, the level and the sentence."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in cli("doctor", "-o", "json", *words).json:
        found.setdefault(row["name"], []).append((row["level"], row["finding"]))
    return found


@pytest.mark.usefixtures("app")
def test_a_clean_bill(cli: Cli) -> None:
    """Exit 0 and a line about each part that was looked at."""
    open_store(URL).close()
    ran = cli("doctor")
    assert (ran.code, ran.err) == (0, "")
    found = findings(cli)
    assert found["settings"] == [("ok", "2 set, the rest are defaults.")]
    assert found["app"] == [("ok", "app:app with kinds hello, refuse.")]
    assert found["workers"] == [("ok", "0 at work.")]
    assert found["store"][0][0] == "ok"
    assert "ok    workers: 0 at work.\n" in ran.out


def test_what_rests_on_something_broken_is_not_looked_at(cli: Cli, workdir: Path) -> None:
    """Wrong settings: exit 3, every problem of theirs, and nothing else."""
    (workdir / "workhorse.toml").write_text('lease = "long"\nqueus = ["a"]\n')
    ran = cli("doctor")
    assert ran.code == 3
    assert "expected a valid number" in ran.out
    assert "Did you mean 'queues'?" in ran.out
    assert set(findings(cli)) == {"settings"}


def test_a_broken_app_does_not_hide_the_store(cli: Cli, store: Store, workdir: Path) -> None:
    """Exit 3 for the app, and the store is looked at all the same."""
    (workdir / "broken.py").write_text("1 / 0\n")
    found = findings(cli, "--app", "broken:app")
    assert "ZeroDivisionError: division by zero" in found["app"][0][1]
    assert found["store"][0][0] == "ok"
    assert cli("doctor", "--app", "broken:app").code == 3
    (workdir / "workhorse.toml").unlink()
    assert "store" not in findings(cli, "--app", "broken:app")


def test_a_store_that_is_missing(cli: Cli) -> None:
    """Exit 4, with what would make one."""
    ran = cli("doctor")
    assert ran.code == 4
    assert "error store: There is no store at" in ran.out
    assert "→ A worker, an enqueue or `workhorse migrate` makes one." in ran.out


def test_jobs_that_nobody_will_run_are_pointed_out(cli: Cli, store: Store) -> None:
    """A queue without a worker, a paused one, a kind that no worker knows."""
    Worker(store, queues=["a", "b"], kinds=["resize"])
    put(store, queue="a", kind="resise")
    put(store, queue="b", kind="resize")
    put(store, queue="c", kind="resize")
    put(store, queue="d", kind="resize", delay=60)
    store.pause("b")
    ran = cli("doctor")
    assert ran.code == 0
    assert "warn  kinds: 1 job waits of kind 'resise' and no worker knows it.\n" in ran.out
    assert "Did you mean 'resize'?" in ran.out
    assert "warn  queues: 1 job waits in b, which is paused.\n" in ran.out
    assert "→ workhorse queues resume b" in ran.out
    for queue in ("c", "d"):
        assert f"warn  queues: 1 job waits in {queue} and no worker takes from it.\n" in ran.out


def test_a_job_whose_queue_and_kind_no_worker_has_both(cli: Cli, store: Store) -> None:
    """One worker takes from the queue, another knows the kind: nobody runs it."""
    Worker(store, queues=["mail"], kinds=["old"])
    new = Worker(store, queues=["post"], kinds=["old", "fresh"])
    put(store, queue="mail", kind="old")
    put(store, queue="post", kind="fresh")
    assert "kinds" not in findings(cli)
    put(store, queue="mail", kind="fresh")
    told = "1 job waits of kind 'fresh' in mail and no worker of it knows that."
    assert findings(cli)["kinds"] == [("warn", told)]
    assert "→ Have a worker that knows it take from mail, or cancel them.\n" in cli("doctor").out
    both = Worker(store, queues=["mail"], kinds=["old", "fresh"])
    assert "kinds" not in findings(cli)
    store.draining(both.id)
    store.draining(new.id)
    unknown = "2 jobs wait of kind 'fresh' and no worker knows it."
    assert findings(cli)["kinds"] == [("warn", unknown)]


def test_very_many_queues_that_nobody_serves(cli: Cli, store: Store) -> None:
    """Ten are told of, and how many more there are."""
    store.enqueue([a_job(queue=f"q{number:04}") for number in range(1500)])
    told = findings(cli)["queues"]
    assert told[0] == ("warn", "1 job waits in q0000 and no worker takes from it.")
    assert (len(told), told[-1]) == (11, ("warn", "… and 1,490 more like these."))


def test_a_worker_in_trouble_is_an_error(cli: Cli, store: Store) -> None:
    """Exit 1: a lease has run out; whose it is does no work."""
    Worker(store, lease=0.001)
    time.sleep(0.002)
    ran = cli("doctor")
    assert ran.code == 1
    assert "error workers: Worker 1" in ran.out
    assert "→ See its log; start a worker: it gives the jobs back.\n" in ran.out
    assert "ok    workers: 0 at work.\n" in ran.out
    put(store)
    waits = "warn  queues: 1 job waits in default and no worker takes from it.\n"
    assert waits in cli("doctor").out


def test_a_crash_loop_is_an_error_of_a_worker_that_lives(cli: Cli, store: Store) -> None:
    """Exit 1, and its log is what to look at: no other worker is needed to give its jobs back."""
    store.renew(Worker(store).id, 30, restarts=6)
    ran = cli("doctor")
    assert ran.code == 1
    assert "its children died 6 times lately.\n" in ran.out
    assert "→ See its log: `child ended` or `the app cannot be imported` says how.\n" in ran.out
    assert "ok    workers: 1 at work.\n" in ran.out


def test_kinds_whose_arguments_could_never_be_checked(cli: Cli, workdir: Path) -> None:
    """Exit 3, and each of them with what is wrong, where, and what to do; the rest is looked at."""
    (workdir / "typed.py").write_text(TYPED)
    open_store(URL).close()
    ran = cli("doctor", "--app", "typed:app")
    assert ran.code == 3
    said = ran.out.splitlines()
    first = said.index(
        "error kinds: pay: an annotation cannot be resolved: name 'Decimal' is not defined."
    )
    assert said[first + 1 : first + 3] == [
        f"      {workdir}/typed.py:13",
        "      → Import the type at run time, not only under TYPE_CHECKING.",
    ]
    assert said[first + 3].startswith("error kinds: lock: its parameters cannot be checked: ")
    assert said[first + 4 :][:2] == [
        f"      {workdir}/typed.py:16",
        "      → Use types that pydantic can validate and encode.",
    ]
    assert "ok    app: typed:app with kinds greet, pay, lock." in said
    assert "ok    workers: 0 at work." in said


def test_an_app_with_nothing_to_run(cli: Cli, store: Store, workdir: Path) -> None:
    """No kinds, or inline mode: a warning that says what to do."""
    (workdir / "empty.py").write_text("from workhorse import Workhorse\napp = Workhorse()\n")
    assert findings(cli, "--app", "empty:app")["app"] == [("warn", "It has no kinds.")]
    (workdir / "inline.py").write_text(
        "from workhorse import Workhorse\napp = Workhorse(inline=True)\n"
        "@app.job\ndef f() -> None: ...\n"
    )
    assert "inline mode" in findings(cli, "--app", "inline:app")["app"][0][1]


def test_a_variable_that_sets_nothing(
    cli: Cli, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip of the pen is a warning, with the nearest name; other commands say it on stderr."""
    monkeypatch.setenv("WORKHORSE_CONCURENCY", "3")
    text = "WORKHORSE_CONCURENCY: sets nothing. Did you mean 'WORKHORSE_CONCURRENCY'?"
    assert ("warn", text) in findings(cli)["settings"]
    ran = cli("jobs", "list")
    assert (ran.code, ran.err) == (0, f"Warning: {text}\n")


def test_a_password_that_everybody_can_read(cli: Cli, workdir: Path) -> None:
    """A file that holds one is to be private."""
    (workdir / ".env").write_text(
        "WORKHORSE_DATABASE_URL=postgresql://me:hunter2@127.0.0.1:1/jobs\n"
    )
    warning = ("warn", ".env holds a password and everybody on this machine can read it.")
    for mode, is_warned in ((0o644, True), (0o604, True), (0o640, False), (0o600, False)):
        (workdir / ".env").chmod(mode)
        assert (warning in findings(cli)["settings"]) == is_warned


def test_a_process_may_open_few_files(cli: Cli) -> None:
    """A worker has several per job: too low a limit is named, with what to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    warning = ("warn", f"A process may open {ENOUGH_FILES - 1} files only.")
    try:
        for files in (ENOUGH_FILES - 1, ENOUGH_FILES):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
            assert (warning in findings(cli).get("machine", [])) == (files < ENOUGH_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ── migrate ─────────────────────────────────────────────────────────────────────────────────────


def test_migrate_makes_a_store(cli: Cli, workdir: Path) -> None:
    """A store that is not there is made; running it again changes nothing."""
    for _ in range(2):
        ran = cli("migrate", "--database-url", URL)
        assert (ran.code, ran.out) == (0, "The schema is at version 1.\n")
    assert (workdir / "jobs.db").exists()


def test_the_statements_can_be_read_first(cli: Cli, workdir: Path) -> None:
    """--sql prints what makes the schema and touches nothing; run by hand, it makes a store."""
    ran = cli("migrate", "--sql")
    assert ran.code == 0
    assert list(workdir.iterdir()) == []
    with closing(sqlite3.connect(workdir / "jobs.db")) as db:
        db.executescript(ran.out)
    again = cli("migrate", "--database-url", URL)
    assert (again.code, again.out) == (0, "The schema is at version 1.\n")
    assert cli("jobs", "list", "--database-url", URL).code == 0


# ── config show ─────────────────────────────────────────────────────────────────────────────────


def shown(cli: Cli, *words: object) -> dict[str, Any]:
    rows = cli("config", "show", "-o", "json", *words).json
    return {row["name"]: (row["value"], row["origin"]) for row in rows}


def test_settings_and_where_they_come_from(
    cli: Cli, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strongest place wins, and is named."""
    (workdir / "pyproject.toml").write_text("[tool.workhorse]\nconcurrency = 1\nprocesses = 1\n")
    (workdir / "workhorse.toml").write_text('concurrency = 2\nqueues = ["a", "b"]\n')
    (workdir / ".env").write_text("WORKHORSE_LEASE=40\n")
    monkeypatch.setenv("WORKHORSE_CONCURRENCY", "3")
    settings = shown(cli, "--app", "a:b")
    assert settings["app"] == ("a:b", "--app")
    assert settings["concurrency"] == (3, "WORKHORSE_CONCURRENCY")
    assert settings["lease"] == (40.0, ".env:WORKHORSE_LEASE")
    assert settings["queues"] == (["a", "b"], "workhorse.toml:queues")
    assert settings["processes"] == (1, "pyproject.toml:tool.workhorse.processes")
    assert settings["renew"] == (5.0, "default")
    table = cli("config", "show").out
    assert "a,b" in table
    assert "Child processes of a worker." in table
    assert cli("config", "show", "-o", "ids").out.split() == list(settings)


def test_the_store_of_the_app_is_shown(cli: Cli, workdir: Path) -> None:
    """Where no setting says where the jobs are: the app's word, else the default; never a guess."""
    assert shown(cli)["database_url"] == ("sqlite:///.workhorse/jobs.db", "default")
    (workdir / "mine.py").write_text(
        "from workhorse import Workhorse\napp = Workhorse('postgresql://me:hunter2@db/jobs')\n"
        "default = Workhorse()\n"
    )
    url = "postgresql://me:***@db/jobs"
    assert shown(cli, "--app", "mine:app")["database_url"] == (url, "the app mine:app")
    assert shown(cli, "--app", "mine:default")["database_url"][1] == "default"
    ran = cli("config", "show", "--app", "mine:none", "-o", "json")
    assert ran.code == 0
    assert "Warning: Module 'mine' has no 'none'." in ran.err
    assert {"database_url": None}.items() <= {row["name"]: row["value"] for row in ran.json}.items()


def test_a_password_is_never_shown(
    cli: Cli, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the list, nor in an error about the very setting."""
    (workdir / "url").write_text("postgresql://me:hunter2@127.0.0.1:1/jobs\n")
    monkeypatch.setenv("WORKHORSE_DATABASE_URL_FILE", "url")
    for output in ("table", "json", "jsonl"):
        ran = cli("config", "show", "-o", output)
        assert "hunter2" not in ran.out
        assert "postgresql://me:***@127.0.0.1:1/jobs" in ran.out
    for words in (["jobs", "list"], ["health"], ["doctor"]):
        ran = cli(*words)
        assert ran.code in {3, 4}, "no driver for it here, or nobody answers"
        assert "hunter2" not in ran.out + ran.err
