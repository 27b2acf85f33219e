"""Where settings are found, without pydantic, so that a health probe starts fast.

Highest first: command-line flags, the environment (``WORKHORSE_*``), ``.env``,
``workhorse.toml``, ``[tool.workhorse]`` in ``pyproject.toml``; files are looked for in the
current folder only. Each value keeps its origin, and each thing that cannot be used becomes a
`Problem`: finding never raises, so that every problem can be told at once.

`workhorse.settings` checks the values. This module knows of no setting but the secret ones, and
the two defaults that a health probe needs.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, NamedTuple

from workhorse.domain.errors import ConfigurationError
from workhorse.nearest import nearest
from workhorse.secret_files import lasting, read_secret

PREFIX: Final = "WORKHORSE_"
SECRETS: Final = ("database_url", "listen_url")
"""Settings that are never printed whole and may be given as a file: ``WORKHORSE_…_FILE``."""

DEFAULT_DATABASE_URL: Final = "sqlite:///.workhorse/jobs.db"
CRASH_LOOP_RESTARTS: Final = 5

_INTERNAL: Final = (
    "WORKHORSE_WORKER_TREE",
    "WORKHORSE_WORKER_CHILD",
    "WORKHORSE_RUNNER",
    "WORKHORSE_DEBUG",
)
_FOREIGN: Final = re.compile(r"WORKHORSE_(TEST|SERVICE|PORT)(_|$)")
"""Test switches, and the variables Kubernetes injects for a service called workhorse."""
_OURS: Final = re.compile(r"WORKHORSE_|^\s*(?i:(export\s+)?workhorse)[_\W]")
"""What a line of ``.env`` that cannot be read was meant for us by."""
_FOR_A_SHELL: Final = re.compile(r"\$[{(]")
"""What a shell, and other readers of ``.env``, would put something in the place of."""


class Given(NamedTuple):
    """One value and where it was found: a variable, ``file:key`` or a flag."""

    value: Any
    origin: str
    file: Path | None = None
    """The file that holds it, where others find it, too: of a secret one."""


class Problem(NamedTuple):
    """One thing wrong with the settings, in the words shown to the user."""

    origin: str
    given: str | None
    expected: str

    def __str__(self) -> str:
        """Say where, what was given, and what was expected."""
        given = "" if self.given is None else f" is {self.given};"
        return f"{self.origin}:{given} {self.expected}"


@dataclass
class Found:
    """Every value found, by the name of its setting, and what could not be used."""

    values: dict[str, Given] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    """The variable each value from the environment came from, by setting."""
    in_small_letters: dict[str, str] = field(default_factory=dict)
    """What would be variables of ours, by where each was found: their names in capitals."""
    problems: list[Problem] = field(default_factory=list)
    unread: dict[str, Problem] = field(default_factory=dict)
    """Why a value could not be had, by setting, as long as no stronger place gives it."""

    def put(self, name: str, value: Any, origin: str, file: Path | None = None) -> None:
        """Take a value: it is stronger than what was found so far."""
        self.values[name] = Given(value, origin, file)
        self.unread.pop(name, None)

    def miss(self, name: str, problem: Problem) -> None:
        """Note that a value could not be had: what weaker places say is not meant instead."""
        self.values.pop(name, None)
        self.unread[name] = problem

    def get(self, name: str) -> Any:
        """Return the value of a setting, or None when it was found nowhere."""
        given = self.values.get(name)
        return None if given is None else given.value


def find(flags: Mapping[str, Any] | None = None) -> Found:
    """Look in every place. A flag that is None or an empty tuple was not given."""
    found = Found()
    _read_table(found, Path("pyproject.toml"), ("tool", "workhorse"))
    _read_table(found, Path("workhorse.toml"), ())
    _read_variables(found, _dotenv(found), where=".env:")
    _read_variables(found, os.environ, where="")
    for name, value in (flags or {}).items():
        if value is not None and value != ():
            found.put(name, value, "--" + name.replace("_", "-"))
    found.problems += found.unread.values()
    return found


def unknown_variables(found: Found, known: Iterable[str]) -> list[Problem]:
    """Return the ``WORKHORSE_*`` variables that set nothing: most often a slip of the pen.

    They are a warning, not an error: a platform may inject names of its own. They leave
    `found`, so that they are not taken for settings.
    """
    names = sorted(known)
    strangers = {name: origin for name, origin in found.variables.items() if name not in names}
    for name, origin in strangers.items():
        if found.values[name].origin == origin:
            del found.values[name]
    odd = {origin: PREFIX + name.upper() for name, origin in strangers.items()}
    variables = [PREFIX + name.upper() for name in names]
    return [
        Problem(origin, None, f"sets nothing.{nearest(variable, variables)}")
        for origin, variable in (odd | found.in_small_letters).items()
    ]


def database_url(found: Found) -> str | None:
    """Return the database URL that was configured, if one was and it is a text."""
    url = found.get("database_url")
    return url if isinstance(url, str) and url else None


def leaves_url_open(found: Found) -> bool:
    """Whether nothing here says, or tries to say, where the jobs are kept."""
    return "database_url" not in found.values and not found.problems


def configured_url() -> str | None:
    """Return the database URL that the environment or a file here names, if one does.

    Raises `ConfigurationError` when none does and one might be meant to (it cannot be read, has a
    slip of the pen, holds no text): jobs put into the default store would never be seen.
    """
    found = find()
    url = database_url(found)
    if url is None and not leaves_url_open(found):
        problems = list(found.problems)
        if (given := found.values.get("database_url")) is not None:
            problems.append(Problem(given.origin, None, "expected the URL of a store"))
        told = "\n".join(map(str, problems))
        raise ConfigurationError(f"Where the jobs are kept cannot be told.\n{told}")
    return url


def current_folder() -> Path:
    """Return the current folder, where the settings are looked for.

    Raises `ConfigurationError` when it was deleted under us, or this user may not search it.
    """
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise ConfigurationError(
            "The current folder was deleted.", hint="Change into one that is there."
        ) from None
    try:
        Path(os.curdir).stat()
    except PermissionError:
        raise ConfigurationError(
            f"This user may not search the current folder, {folder}.",
            hint="Change into one that it may: settings are looked for there.",
        ) from None
    return folder


def _read_table(found: Found, path: Path, keys: tuple[str, ...]) -> None:
    """Read one TOML file that may be missing; `keys` lead to our table in it."""
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        found.problems.append(Problem(str(path), None, f"cannot be read as TOML: {error}"))
        return
    for key in keys:
        table = table.get(key, {})
        if not isinstance(table, dict):
            found.problems.append(Problem(f"{path}:{'.'.join(keys)}", None, "expected a table"))
            return
    for name, value in table.items():
        origin = f"{path}:{'.'.join((*keys, name))}"
        found.put(name, value, origin)
        if name not in SECRETS and (hint := nearest(name, SECRETS)):
            found.problems.append(Problem(origin, None, f"is not a setting.{hint}"))


def _dotenv(found: Found) -> Mapping[str, str]:
    """Return what ``.env`` holds, or nothing when there is no such file.

    It is other programs' as well: a line that nobody understands is a problem if it is ours.
    """
    path = Path(".env")
    values: dict[str, str] = {}
    odd: list[tuple[str | None, Problem]] = []
    try:
        if not S_ISREG(path.stat().st_mode):
            return {}
        from dotenv.parser import parse_stream  # noqa: PLC0415 - only where there is such a file

        with path.open(encoding="utf-8-sig") as stream:
            for line in parse_stream(stream):
                unread = line.error or (line.key is not None and line.value is None)
                if unread and _OURS.search(line.original.string):
                    where = f".env:{line.original.line}"
                    odd.append((line.key, Problem(where, None, "expected WORKHORSE_…=value")))
                if line.key is not None and line.value is not None:
                    values[line.key] = line.value
                    _refuse_unfilled(found, values, line.key, line.original.string)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        found.problems.append(Problem(".env", None, f"cannot be read: {error}"))
    # `export NAME` in a line of its own is of no harm where another sets it.
    found.problems += [problem for name, problem in odd if name not in values]
    return values


def _refuse_unfilled(found: Found, values: dict[str, str], variable: str, line: str) -> None:
    """Take back a variable of ours whose ``${…}`` is meant to be filled in: nobody does so here."""
    value = line.partition("=")[2].lstrip()
    if not _FOR_A_SHELL.search(values[variable]) or value.startswith("'"):
        return
    name = _setting(variable)
    if name is not None:
        del values[variable]
        expected = "nothing is put in the place of ${…} or $(…); "
        expected += "write it out, or put it in '…' as it is"
        found.miss(name, Problem(f".env:{variable}", None, expected))


def _setting(variable: str) -> str | None:
    """Return the setting that a variable gives, itself or by a file; None for none of ours."""
    if not variable.startswith(PREFIX) or variable in _INTERNAL or _FOREIGN.match(variable):
        return None
    name = variable.removeprefix(PREFIX).lower()
    plain = name.removesuffix("_file")
    return plain if plain in SECRETS else name


def _read_variables(found: Found, variables: Mapping[str, str], *, where: str) -> None:
    """Take the ``WORKHORSE_*`` variables, and the files that the secret ones name.

    An empty variable is one that is not set. One in small letters is none; when it was meant to
    say where the jobs are kept that is a problem, as they would be put elsewhere.
    """
    secrets = {f"{PREFIX}{name.upper()}" for name in SECRETS}
    files = {f"{secret}_FILE" for secret in secrets}
    for variable, value in variables.items():
        capitals = variable.upper()
        if not (value and capitals.startswith(PREFIX)) or variable in files:
            continue
        if capitals in _INTERNAL or _FOREIGN.match(capitals):
            continue
        if not variable.startswith(PREFIX):
            if capitals in secrets | files:
                problem = Problem(where + variable, None, f"is written {capitals}")
                found.problems.append(problem)
            else:
                found.in_small_letters[where + variable] = capitals
            continue
        name = variable.removeprefix(PREFIX).lower()
        found.put(name, value, where + variable)
        found.variables[name] = where + variable
    for variable in sorted(files):
        if variables.get(variable):
            _read_secret(found, variables, variable, where)


def _read_secret(found: Found, variables: Mapping[str, str], variable: str, where: str) -> None:
    """Read the secret that `variable` says is in a file."""
    origin, plain, path = where + variable, variable.removesuffix("_FILE"), variables[variable]
    name = plain.removeprefix(PREFIX).lower()
    if variables.get(plain):
        found.miss(name, Problem(origin, None, f"{plain} is set as well; keep one of them"))
        return
    try:
        value, file = read_secret(Path(path)), lasting(Path(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        expected = f"expected a file that can be read ({reason})"
        found.miss(name, Problem(origin, repr(path), expected))
        return
    if not value:
        found.miss(name, Problem(origin, repr(path), "expected a file that is not empty"))
        return
    found.put(name, value, origin, file)
    found.variables[name] = origin
