"""Secrets that are kept in files: read, and read again when they may have changed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

_FILES: Final[dict[str, list[Path]]] = {}
"""The files that each secret of this process was read from, wherever the process goes."""


def read_secret(path: Path) -> str:
    """Return what a file holds, and remember where that is from, if it can be read again."""
    secret = path.read_text(encoding="utf-8-sig").strip()
    file = lasting(path)
    if file is not None and file not in (files := _FILES.setdefault(secret, [])):
        files.append(file)
    return secret


def lasting(path: Path) -> Path | None:
    """Return where this file is found by other processes, too, and later.

    None for a pipe, which is read only once, and for what this process alone has open.
    """
    return path.absolute() if path.is_file() and not _leads_through_proc(path) else None


def read_again(secret: str) -> str:
    """Return what the file holds now that a secret was read from; of several, the changed one.

    The secret itself where that cannot be told, and when it was not read from a file.
    """
    for file in tuple(_FILES.get(secret, ())):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if (now := read_secret(file)) not in {"", secret}:
                return now
    return secret


def _leads_through_proc(path: Path) -> bool:
    """Whether a link of /proc is on the way, as it is from /dev/stdin: to each process its own."""
    path = path.absolute()
    links = [part for part in (path, *path.parents) if part.is_symlink()]
    return any(
        _is_of_proc(link) or _leads_through_proc(link.parent / link.readlink()) for link in links
    )


def _is_of_proc(link: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # not mounted
        return link.lstat().st_dev == Path("/proc/self").lstat().st_dev
    return False
