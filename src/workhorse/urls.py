"""URLs of stores, before anything is opened: how they are shown, and what file they name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from workhorse.domain.errors import ConfigurationError, Unavailable


def mask_url(url: str) -> str:
    """Return `url` without its password, fit to be printed."""
    url = re.sub(r"(://[^/?#@]*?):[^/?#]*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", r"\1***", url)


def refuse_fragment(url: str) -> None:
    """Raise `ConfigurationError` for a URL with a #, behind which nothing would be read."""
    if "#" in url:
        raise ConfigurationError(
            "The URL of the store has a # in it: a part of a password, or of a name?",
            hint="There it is written %23.",
        )


def sqlite_path(url: str) -> Path | None:
    """Return the file that a SQLite URL names; None for any other store, and for no file.

    Raises `ConfigurationError` for a URL with a #.
    """
    refuse_fragment(url)
    scheme, _, rest = url.partition("://")
    path = unquote(rest.partition("?")[0][1:])
    is_file = path != ":memory:" and not path.startswith("~") and "\0" not in path
    return Path(path) if scheme == "sqlite" and is_file else None


def sqlite_url(path: str | os.PathLike[str]) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{quote(os.fspath(path))}"


def refuse_missing(url: str) -> None:
    """Raise `Unavailable` when `url` is a SQLite file that is not there: looking makes none."""
    path = sqlite_path(url)
    if path is not None and _is_missing(path):
        raise Unavailable(
            f"There is no store at {url} (folder {Path.cwd()}).",
            hint="A worker, an enqueue or `workhorse migrate` makes one.",
        )


def _is_missing(path: Path) -> bool:
    """Whether `path` could be made but was not; what cannot be made is for the store to word."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
