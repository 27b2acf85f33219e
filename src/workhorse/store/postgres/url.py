"""Where a PostgreSQL store is: the server, the database, the schema."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from workhorse.domain.errors import ConfigurationError, WorkhorseError
from workhorse.secret_files import read_again
from workhorse.store.postgres.failures import cannot_connect, unreadable
from workhorse.urls import refuse_fragment

DEFAULT_SCHEMA: Final = "workhorse"
DEFAULT_PORT: Final = "5432"
LAST_PORT: Final = 65535

_WHERE: Final = ("host", "hostaddr", "port", "dbname", "user", "service")
"""What libpq finds a database by; one that is not named has the name of the user."""
_PORT: Final = re.compile(r"0*[1-9][0-9]{0,4}")
_AS_NAME: Final = re.compile(rf"\b{DEFAULT_SCHEMA}\b(?=[.;])")
_IN_TEXT: Final = re.compile(rf"(?<=')\b{DEFAULT_SCHEMA}\b(?='::regnamespace|' and|'\) is null)")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Place:
    """One schema of one database.

    `shown` says where libpq looks for it, whoever of URL and environment says so: what is shown
    alike is one place, as long as a service that is named means the same. It has no credentials.
    """

    conninfo: str
    shown: str
    schema: str
    url: str

    def anew(self) -> Place:
        """Return the same place by what the file says now that its URL was read from, if one was.

        A password may have been changed meanwhile, or the role. What cannot be read there, or
        names another place, changes nothing.
        """
        url = read_again(self.url)
        if url == self.url:
            return self
        try:
            found = parse(url)
        except WorkhorseError:
            return self
        return replace(found, schema=self.schema) if found.shown == self.shown else self

    def in_schema(self, sql: str) -> str:
        """Return SQL that is written for the schema ``workhorse`` as that of this one."""
        if self.schema == DEFAULT_SCHEMA:
            return sql
        sql = _IN_TEXT.sub(self.schema, sql)
        return _AS_NAME.sub(f'"{self.schema}"', sql)  # quoted: it may be a word of SQL's own

    @property
    def channel(self) -> str:
        """The channel on which this store's workers are woken."""
        return self.schema

    @property
    def run_dir(self) -> Path:
        """The folder in which this user's processes on this host meet beside this store."""
        name = hashlib.sha256(self.shown.encode()).hexdigest()[:16]
        root = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        return Path(root) / f"workhorse-{os.getuid()}" / name


def parse(url: str) -> Place:
    """Return the place a URL names: ``postgresql://user@host:5432/database?schema=workhorse``.

    Every other parameter is libpq's (``sslmode``, ``host`` for a socket, …). Raises
    `ConfigurationError` for a schema that is not a plain lower-case name, a port that is none, a
    password that is not quoted, a #, or what libpq cannot read.
    """
    refuse_fragment(url)
    parts = urlsplit(url)
    options = [_option(text) for text in parts.query.split("&") if text]
    astray = [parts.path, *(option.name for option in options)]
    if parts.netloc.count("@") > 1 or any("@" in part for part in astray):
        raise ConfigurationError(
            "The URL of the store has an @ too many: one in the password?",
            hint="There it is written %40, a colon %3A, a slash %2F.",
        )
    for port in _ports(parts.netloc, options):
        if not (_PORT.fullmatch(port) and int(port) <= LAST_PORT):
            raise ConfigurationError(
                f"{port!r} cannot be the port of a PostgreSQL server.",
                hint=f"It is a number from 1 to {LAST_PORT}, mostly 5432.",
            )
    schema = next((one.value for one in options if one.name == "schema"), DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise ConfigurationError(
            f"{schema!r} cannot be the schema of a store.",
            hint="Use lower-case letters, digits and '_', beginning with a letter.",
        )
    others = "&".join(one.written for one in options if one.name != "schema")
    # Not by `urlunsplit`: without a host it leaves the slashes out.
    conninfo = f"postgresql://{parts.netloc}{parts.path}?{others}"
    written = f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
    try:
        taken = _taken(conninfo)
    except psycopg.Error as error:
        raise cannot_connect(error, written) from error
    except UnicodeError:
        raise unreadable(written) from None
    return Place(conninfo, _shown(taken, schema), schema, url)


def servers_of(conninfo: str) -> dict[str, str]:
    """Return the servers to try, as parameters of libpq; none when the URL names a service.

    Of that one libpq alone knows the servers.
    """
    if "service" in conninfo_to_dict(conninfo):
        return {}
    taken = _taken(conninfo)
    return {name: taken[name] for name in ("host", "hostaddr", "port") if taken[name]}


def _taken(conninfo: str) -> dict[str, str]:
    """Return where libpq looks: as the URL says, else the environment, else by its own rules.

    Of a service that the URL names its name alone is known; the driver takes PGHOST before any.
    """
    usual = {option.keyword.decode(): option.val for option in pq.Conninfo.get_defaults()}
    given = conninfo_to_dict(conninfo)
    taken = {name: (usual[name] or b"").decode(errors="replace") for name in _WHERE}
    taken["host"] = os.environ.get("PGHOST", taken["host"])
    taken |= {name: str(given[name]) for name in _WHERE if name in given}
    if not taken["dbname"] and "service" not in given:
        taken["dbname"] = taken["user"]
    return taken


class _Option(NamedTuple):
    """One parameter of a URL. In libpq's URLs, unlike in forms, a plus is a plus."""

    name: str
    value: str
    written: str


def _option(text: str) -> _Option:
    name, _, value = text.partition("=")
    return _Option(unquote(name), unquote(value), text)


def _shown(taken: Mapping[str, str], schema: str) -> str:
    query = {name: taken[name] for name in ("hostaddr", "service") if taken[name]}
    if schema != DEFAULT_SCHEMA:
        query["schema"] = schema
    servers = _servers(taken["host"] or taken["hostaddr"], taken["port"])
    url = f"postgresql://{servers}/{quote(taken['dbname'], safe='')}"
    return f"{url}?{urlencode(query)}" if query else url


def _servers(hosts: str, ports: str) -> str:
    """Return servers as a URL names them; a port that stands alone is that of all."""
    names, numbers = hosts.split(","), ports.split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    return ",".join(map(_server, names, numbers))


def _server(host: str, port: str) -> str:
    name = f"[{host}]" if ":" in host else quote(host, safe="")
    return name if port in {"", DEFAULT_PORT} else f"{name}:{port}"


def _ports(netloc: str, options: Sequence[_Option]) -> Iterator[str]:
    """Yield the ports that a URL names; it may name several servers, and a port may be empty."""
    for host in netloc.rpartition("@")[2].split(","):
        _, colon, port = host.rpartition("]")[2].rpartition(":")
        if colon and port:
            yield port
    for one in options:
        if one.name == "port":
            yield from filter(None, one.value.split(","))
