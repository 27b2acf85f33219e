"""A URL says which server, which database, which schema; what cannot be is told before a try."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import quote

import pytest

from tests.services.postgres import Database
from tests.store.hands import put, the
from workhorse.domain.errors import ConfigurationError
from workhorse.domain.job import State
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
