"""A URL says which server, which database, which schema; what cannot be is told before a try."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.services.fixtures import TEMPLATE, Clusters
from tests.services.postgres import Cluster, Database
from tests.store.hands import put, the
from workhorse import secret_files
from workhorse.domain.errors import ConfigurationError
from workhorse.domain.job import State
from workhorse.sources import configured_url
from workhorse.store.opening import open_store
from workhorse.store.postgres.url import parse


@pytest.mark.parametrize("port", ["65536", "99999999999", "0", "-1", "54x32"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@here:{}/jobs",
        "postgresql://[::1]:{}/jobs",
        "postgresql://one:5432,two:{}/jobs",
        "postgres:///jobs?host=/run&port={}",
    ],
)
def test_a_port_that_cannot_be(url: str, port: str) -> None:
    """A wrong setting, which no waiting mends; the password is not told."""
    with pytest.raises(ConfigurationError, match=f"'{port}' cannot be the port") as refused:
        open_store(url.format(port))
    assert refused.value.hint
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:se:cret@here:65535/jobs",
        "postgresql://here/jobs",
        "postgresql://here:/jobs",
        "postgresql:///jobs?host=/run&port=6543",
        "postgresql://[fe80::1]/jobs",
        "postgresql://one:5432,two/jobs?port=",
    ],
)
def test_every_port_that_can_be(url: str) -> None:
    """None, one, or one for each of several servers."""
    assert parse(url).schema == "workhorse"


@pytest.mark.parametrize(
    "password",
    [
        *("half@secret", "half/secret", "secret/", "half#secret", "half?secret", "1?secret"),
        *("100%secret", "half secret", "secret%00", "[secret"),
    ],
)
def test_a_password_that_is_not_quoted(password: str) -> None:
    """Part of it is taken for something else: the error says how it is written, and no more."""
    with pytest.raises(ConfigurationError) as refused:
        open_store(f"postgresql://me:{password}@here/jobs")
    assert "%" in str(refused.value.hint)
    assert "secret" not in str(refused.value)
    assert "half" not in str(refused.value)


@pytest.mark.parametrize("option", ["nonsense=1", "schemas=night"])
def test_a_parameter_that_is_none_of_libpqs(option: str) -> None:
    """A wrong setting as well."""
    with pytest.raises(ConfigurationError, match="invalid URI query parameter") as refused:
        open_store(f"postgresql://me:secret@here/jobs?{option}")
    assert "libpq" in str(refused.value.hint)
    assert "secret" not in str(refused.value)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of a server, and no file read yet; a test says it."""
    for name in list(os.environ):
        if name.startswith("PG"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(secret_files, "_FILES", {})
    return monkeypatch


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@here/jobs", "postgresql://here/jobs"),
        ("postgres://here:5432/jobs?sslmode=require", "postgresql://here/jobs"),
        ("postgresql://here/jobs?schema=night", "postgresql://here/jobs?schema=night"),
        ("postgresql://here/jobs?port=6543", "postgresql://here:6543/jobs"),
        ("postgresql://here:1/jobs?port=2&host=there", "postgresql://there:2/jobs"),
        ("postgresql://here/jobs?dbname=others", "postgresql://here/others"),
        ("postgresql://me:secret@here", "postgresql://here/me"),
        ("postgresql://here/a%2Fb", "postgresql://here/a%2Fb"),
        ("postgresql:///jobs?host=/run&password=secret", "postgresql://%2Frun/jobs"),
        ("postgresql://%2Frun:6543/jobs", "postgresql://%2Frun:6543/jobs"),
        ("postgresql://one:1,two/jobs", "postgresql://one:1,two/jobs"),
        ("postgresql://one,two/jobs?port=1", "postgresql://one:1,two:1/jobs"),
        ("postgresql://[::1]:6543/jobs", "postgresql://[::1]:6543/jobs"),
        ("postgresql://me@/?service=one", "postgresql:///?service=one"),
        ("postgresql://here/jobs?hostaddr=::1", "postgresql://here/jobs?hostaddr=%3A%3A1"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    """Where libpq looks, by whichever part of the URL; nothing of who looks."""
    assert parse(url).shown == shown


@pytest.mark.parametrize(
    ("url", "environment", "shown"),
    [
        (
            "postgresql:///jobs",
            {"PGHOST": "/run", "PGPORT": "6543"},
            "postgresql://%2Frun:6543/jobs",
        ),
        (
            "postgresql://here:1/jobs",
            {"PGHOST": "there", "PGPORT": "2"},
            "postgresql://here:1/jobs",
        ),
        ("postgresql://me@here", {"PGDATABASE": "jobs"}, "postgresql://here/jobs"),
        ("postgresql://here", {"PGUSER": "me", "PGPASSWORD": "secret"}, "postgresql://here/me"),
        ("postgresql:///jobs", {"PGSERVICE": "one"}, "postgresql:///jobs?service=one"),
        (
            "postgresql://here/jobs",
            {"PGHOSTADDR": "::1"},
            "postgresql://here/jobs?hostaddr=%3A%3A1",
        ),
    ],
)
def test_what_is_shown_of_the_environment(
    bare: pytest.MonkeyPatch, url: str, environment: dict[str, str], shown: str
) -> None:
    """It says what the URL leaves open, and no more."""
    for name, value in environment.items():
        bare.setenv(name, value)
    assert parse(url).shown == shown


def test_the_server_that_is_shown_is_the_one_that_is_tried(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where a service and the environment both name one, it is the driver that chooses."""
    services = tmp_path / "services"
    services.write_text("[one]\nhost=127.0.0.2\nport=1\ndbname=jobs\n")
    bare.setenv("PGSERVICEFILE", str(services))
    bare.setenv("PGSERVICE", "one")
    assert parse("postgresql://").shown == "postgresql://127.0.0.2:1/jobs?service=one"
    bare.setenv("PGHOST", "127.0.0.3")
    assert parse("postgresql://").shown == "postgresql://127.0.0.3:1/jobs?service=one"
    with pytest.raises(psycopg.OperationalError, match=r'"127\.0\.0\.3", port 1'):
        psycopg.connect("postgresql://")


@pytest.mark.parametrize(
    ("url", "name", "value"),
    [
        ("postgresql:///jobs?password=a+b%2Bc%20d", "password", "a+b+c d"),
        ("postgresql://here/jobs?sslrootcert=/etc/x+y", "sslrootcert", "/etc/x+y"),
        ("postgresql:///jobs?host=/tmp/a+b", "host", "/tmp/a+b"),
        ("postgresql:///jobs?password=a;b", "password", "a;b"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_a_value_is_what_libpq_reads(url: str, name: str, value: str) -> None:
    """A plus is a plus: a URL is no form. The driver alone would read the same."""
    assert conninfo_to_dict(parse(url).conninfo)[name] == conninfo_to_dict(url)[name] == value


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://here/half#secret",
        "postgresql:///jobs?password=half#secret",
        "postgresql://here/half?schema=night#secret",
    ],
)
def test_a_fragment_is_refused(url: str) -> None:
    """What stands behind a # would be left out in silence: another database, another password."""
    with pytest.raises(ConfigurationError, match="has a #") as refused:
        open_store(url)
    assert "%23" in str(refused.value.hint)
    assert "secret" not in str(refused.value)
    assert "half" not in str(refused.value)


@pytest.mark.parametrize("url", ["u:secret%e9@h/jobs", "%ff@h/jobs", "h/jobs%ff"])
def test_what_is_not_utf_8_is_told_in_words(url: str) -> None:
    """As of anything libpq cannot read; the password is not repeated."""
    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        parse(f"postgresql://{url}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "other",
    ["?port=6543", "?host=there", "?dbname=others", "?service=one", "?schema=night"],
)
@pytest.mark.usefixtures("bare")
def test_two_places_share_no_folder(other: str) -> None:
    """A worker of the one is not taken for one of the other, which may be gone."""
    one = parse("postgresql://here/jobs")
    assert parse(f"postgresql://here/jobs{other}").run_dir != one.run_dir


def test_two_places_of_the_environment_share_no_folder(bare: pytest.MonkeyPatch) -> None:
    """The same URL names another server where the environment does."""
    bare.setenv("PGHOST", "here")
    one = parse("postgresql:///jobs").run_dir
    bare.setenv("PGHOST", "there")
    assert parse("postgresql:///jobs").run_dir != one


@pytest.mark.parametrize(
    ("later", "password"),
    [
        ("postgresql://other:new@here/jobs", "new"),
        ("postgresql://me:new@there/jobs", "old"),
        ("postgresql://me:new@here/jobs?schema=night", "old"),
        ("postgresql://me:new@here:0/jobs", "old"),
        ("", "old"),
        (None, "old"),
    ],
)
def test_what_the_file_of_a_url_says_later(
    bare: pytest.MonkeyPatch, workdir: Path, later: str | None, password: str
) -> None:
    """Another password or role of the same store is taken; whatever else it says is not."""
    file = workdir / "url"
    file.write_text("postgresql://me:old@here/jobs\n")
    bare.setenv("WORKHORSE_DATABASE_URL_FILE", "url")
    place = parse(configured_url() or "")
    bare.chdir("/")
    if later is None:
        file.unlink()
    else:
        file.write_text(later)
    again = place.anew()
    assert conninfo_to_dict(again.conninfo)["password"] == password
    assert again.shown == place.shown


@pytest.mark.parametrize("changed", ["database", "listen"])
def test_a_url_that_two_files_hold(bare: pytest.MonkeyPatch, workdir: Path, changed: str) -> None:
    """The new password is found in whichever of them is changed first."""
    for name in ("database", "listen"):
        (workdir / name).write_text("postgresql://me:old@here/jobs")
        bare.setenv(f"WORKHORSE_{name.upper()}_URL_FILE", name)
    place = parse(configured_url() or "")
    (workdir / changed).write_text("postgresql://me:new@here/jobs")
    assert conninfo_to_dict(place.anew().conninfo)["password"] == "new"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@127.0.0.1:{port}/{name}",
        "postgres://postgres@127.0.0.1:{port}/{name}?connect_timeout=3",
        "postgresql://postgres@/{name}?host={home}&port={port}",
        "postgresql:///{name}?host={home}&port={port}&user=postgres",
        "postgresql:///?dbname={name}&host={home}&port={port}&user=postgres",
        "postgresql://postgres@{quoted}:{port}/{name}",
        "postgresql://postgres@127.0.0.1:1,127.0.0.1:{port}/{name}",
        "postgresql:///{name}?host=/nowhere,{home}&port={port},{port}&user=postgres",
    ],
)
def test_every_way_to_a_server(database: Database, url: str) -> None:
    """Over TCP or a socket, named in the one place or the other, the first or a later one."""
    cluster = database.cluster
    home = str(cluster.home)
    facts = {"port": cluster.port, "home": home, "quoted": quote(home, safe="")}
    with closing(open_store(url.format(name=database.name, **facts))) as store:
        assert the(store, put(store)).state is State.AVAILABLE


@pytest.fixture(scope="module")
def followed(clusters: Clusters) -> Iterator[tuple[Cluster, Database]]:
    """A standby, and a database of the server it follows."""
    server = clusters["18"]
    database = server.create_database(template=TEMPLATE)
    with Cluster("18", follows=server) as standby:
        standby.catch_up()
        yield standby, database
    server.drop_database(database.name)


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("postgresql://postgres@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/{name}", {}),
        ("postgresql://postgres@/{name}?hostaddr=127.0.0.1,127.0.0.1&port={both}", {}),
        ("postgresql://postgres@/{name}", {"PGHOST": "127.0.0.1,127.0.0.1", "PGPORT": "{both}"}),
        (
            "postgresql://postgres@/{name}",
            {"PGHOSTADDR": "127.0.0.1,127.0.0.1", "PGPORT": "{both}"},
        ),
        ("postgresql://postgres@/{name}", {"PGSERVICE": "shop"}),
        ("postgresql://postgres@/{name}?service=careful", {}),
    ],
    ids=["URL", "addresses", "PGHOST", "PGHOSTADDR", "PGSERVICE", "service"],
)
@pytest.mark.needs("pg18")
def test_of_several_servers_the_one_that_takes_writes(
    followed: tuple[Cluster, Database],
    bare: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str,
    environment: dict[str, str],
) -> None:
    """However they are named, and though a standby comes first."""
    standby, database = followed
    ports = [standby.port, database.cluster.port]
    facts = {"name": database.name, "ports": ports, "both": "{},{}".format(*ports)}
    services = tmp_path / "services"
    shop = "host=127.0.0.1,127.0.0.1\nport={both}\n".format(**facts)
    services.write_text(f"[shop]\n{shop}[careful]\n{shop}target_session_attrs=primary\n")
    bare.setenv("PGSERVICEFILE", str(services))
    for name, value in environment.items():
        bare.setenv(name, value.format(**facts))
    with closing(open_store(url.format(**facts))) as store:
        assert the(store, put(store)).state is State.AVAILABLE
