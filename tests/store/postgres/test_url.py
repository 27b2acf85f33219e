"""A URL says which server, which database, which schema; what cannot be is told before a try."""

from __future__ import annotations

import pytest

from workhorse.domain.errors import ConfigurationError
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


@pytest.mark.parametrize("option", ["nonsense=1", "schemas=night"])
def test_a_parameter_that_is_none_of_libpqs(option: str) -> None:
    """A wrong setting as well."""
    with pytest.raises(ConfigurationError, match="invalid URI query parameter") as refused:
        open_store(f"postgresql://me:secret@here/jobs?{option}")
    assert "libpq" in str(refused.value.hint)
    assert "secret" not in str(refused.value)
