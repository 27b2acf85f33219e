"""One file, its log beside it, and a folder for the processes of the host."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.store.hands import put
from workhorse.domain.errors import StoreGone, Unavailable
from workhorse.store.opening import open_store
from workhorse.store.protocol import JobFilter, Store
from workhorse.store.sqlite import SqliteStore, file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_the_store(store: Store, path: Path) -> None:
    """The file, its log, its lock and its folder are the owner's alone."""
    put(store)
    files = [path, path.with_name("jobs.db-wal"), path.with_name("jobs.db-shm")]
    assert store.run_dir is not None
    assert [mode(file) for file in (*files, store.run_dir / "write.lock")] == [0o600] * 4
    assert mode(store.run_dir) == 0o700


def test_a_store_is_left_in_one_file(url: str, path: Path) -> None:
    """The last to close copies the log into the file and takes it away."""
    first, second = open_store(url), open_store(url)
    job_id = put(first)
    first.close()
    assert path.with_name("jobs.db-wal").exists()
    second.close()
    assert not path.with_name("jobs.db-wal").exists()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("select id from jobs").fetchall() == [(job_id,)]


@pytest.mark.parametrize("durability", [("full", 2), ("normal", 1)])
def test_the_connections_are_set_up(tmp_path: Path, durability: tuple[str, int]) -> None:
    """A log, the durability asked for, a wary reading of the schema, no memory map."""
    name, synchronous = durability
    with closing(SqliteStore(tmp_path / "jobs.db", durability=name)) as store:
        put(store)
        store.health()
        writer = store._db._writer
        (reader, *_) = store._db._readers
        assert writer is not None

        def ask(one: sqlite3.Connection, pragma: str) -> Any:
            return one.execute(f"pragma {pragma}").fetchone()[0]

        assert ask(writer, "journal_mode") == "wal"
        assert ask(writer, "synchronous") == synchronous
        for one in (writer, reader):
            assert ask(one, "foreign_keys") == 1
            assert ask(one, "trusted_schema") == 0
            assert ask(one, "busy_timeout") == 10_000
        assert ask(reader, "query_only") == 1


VISIT = """
import sys
from workhorse.domain.job import NewJob
from workhorse.store.opening import open_store
store = open_store(sys.argv[1])
store.enqueue([NewJob("visitor")])
store.close()
"""


def test_a_store_opened_twice_keeps_its_hold(store: Store, other: Store, url: str) -> None:
    """Whoever comes and goes meanwhile takes no log away: what is acknowledged later is there."""
    put(store)
    other.close()
    again = open_store(url)
    subprocess.run([sys.executable, "-c", VISIT, url], check=True, timeout=60)
    acknowledged = put(store)
    again.close()
    store.close()
    with closing(open_store(url)) as reopened:
        assert reopened.get(acknowledged) is not None
        assert len(reopened.list_jobs(JobFilter())) == 3


def linked(folder: Path, file: Path) -> str:
    """Return the URL of a link to `file`, in a folder of its own."""
    folder.mkdir()
    (folder / "jobs.db").symlink_to(file)
    return f"sqlite:///{folder / 'jobs.db'}"


def test_a_link_to_the_file_is_the_same_store(store: Store, path: Path, tmp_path: Path) -> None:
    """All beside the file is shared: the turn to write, the wake-ups, the log that is cut."""
    with closing(open_store(linked(tmp_path / "release", path))) as other:
        assert other.run_dir == store.run_dir
        assert isinstance(store, SqliteStore)
        assert isinstance(other, SqliteStore)
        job_id = put(other)
        assert store.get(job_id) is not None
        assert other._db.log.size() == store._db.log.size() > 0
    assert [entry.name for entry in (tmp_path / "release").iterdir()] == ["jobs.db"]


def test_a_link_that_leads_to_nothing_yet_makes_the_store_there(tmp_path: Path) -> None:
    """The file is made where the link leads, with its folder, for its owner alone."""
    shared = tmp_path / "shared" / "jobs.db"
    with closing(open_store(linked(tmp_path / "release", shared))) as store:
        put(store)
        assert mode(shared) == 0o600
        assert store.run_dir == shared.with_name("jobs.db-run")


def test_a_link_led_elsewhere_is_a_store_replaced(url: str, path: Path, tmp_path: Path) -> None:
    """Who has it open is refused, as when the file itself is replaced; the error names the link."""
    elsewhere = path.with_name("elsewhere.db")
    open_store(f"sqlite:///{elsewhere}").close()
    open_store(url).close()
    with closing(open_store(linked(tmp_path / "release", path))) as store:
        put(store)
        link = tmp_path / "release" / "jobs.db"
        link.unlink()
        link.symlink_to(elsewhere)
        with pytest.raises(StoreGone, match=f"The store {link} was deleted or replaced"):
            put(store)
    for place, jobs in ((url, 1), (f"sqlite:///{elsewhere}", 0)):
        with closing(open_store(place)) as store:
            assert len(store.list_jobs(JobFilter())) == jobs


def test_a_path_that_tells_nothing_keeps_nobody_from_work(path: Path, tmp_path: Path) -> None:
    """Only what is known to be gone is refused: here a link leads to itself for a moment."""
    with closing(open_store(linked(tmp_path / "release", path))) as store:
        put(store)
        link = tmp_path / "release" / "jobs.db"
        link.unlink()
        link.symlink_to(link)
        put(store)
        assert len(store.list_jobs(JobFilter())) == 2


def under_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "jobs.db"


def a_folder(folder: Path) -> Path:
    (folder / "jobs.db").mkdir()
    return folder / "jobs.db"


def not_a_database(folder: Path) -> Path:
    (folder / "jobs.db").write_text("a letter to a friend\n" * 500)
    return folder / "jobs.db"


def nowhere_to_write(folder: Path) -> Path:
    return Path("/proc/none/jobs.db")


@pytest.mark.parametrize("place", [under_a_file, a_folder, not_a_database, nowhere_to_write])
def test_a_place_that_cannot_be(tmp_path: Path, place: Any) -> None:
    """`Unavailable`, in one line that names the place; nothing stays open."""
    path = place(tmp_path)
    with pytest.raises(Unavailable) as caught:
        open_store(f"sqlite:///{path}")
    assert "\n" not in str(caught.value)
    assert str(path.parent) in str(caught.value)


def test_a_folder_is_told_as_such(tmp_path: Path) -> None:
    """With what to do; nothing is made beside it."""
    path = a_folder(tmp_path)
    with pytest.raises(Unavailable, match=f"The store {path} is a folder. Name a file in it."):
        open_store(f"sqlite:///{path}")
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_told_as_such(url: str, path: Path) -> None:
    """A store that has been overwritten in part is not taken for an empty one."""
    with closing(open_store(url)) as store:
        for _ in range(50):
            put(store)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200_000)
    with pytest.raises(Unavailable, match="damaged"):
        open_store(url)


@pytest.mark.parametrize("lost", ["jobs.db", "jobs.db-wal"])
@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_half_of_an_open_store_is_told_as_such(url: str, path: Path, lost: str, how: str) -> None:
    """Who comes then is told what has happened; it is over when all have let go of it."""
    lines = "import sys; from workhorse.store.opening import open_store; open_store(sys.argv[1])"
    come = [sys.executable, "-c", lines, url]
    with closing(open_store(url)) as store:
        put(store)
        if how == "moved":
            path.with_name(lost).rename(path.with_name("elsewhere"))
        else:
            path.with_name(lost).unlink()
        told = subprocess.run(come, capture_output=True, text=True, timeout=60, check=False).stderr
        assert "Unavailable: The store " in told
        assert "was moved, deleted or replaced while a process had them open. Stop all" in told
    assert subprocess.run(come, timeout=60, check=False).returncode == 0


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks do not hold between hosts; the refusal says so, and makes no store there."""
    monkeypatch.setattr(file, "file_system", lambda path: "nfs4")
    with pytest.raises(Unavailable, match=r"network file system \(nfs4\)"):
        open_store(f"sqlite:///{tmp_path / 'jobs.db'}")
    assert not (tmp_path / "jobs.db").exists()


def test_a_link_to_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is where the file is, not where the link to it is."""
    far = tmp_path / "far"
    monkeypatch.setattr(file, "file_system", lambda path: "nfs4" if path == far else "ext4")
    with pytest.raises(Unavailable, match=r"network file system \(nfs4\)"):
        open_store(linked(tmp_path / "near", far / "jobs.db"))
