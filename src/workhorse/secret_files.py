"""Secrets that are kept in files: read, and read again when they may have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FILES: Final[dict[str, Path]] = {}
"""The file that each secret of this process was read from, wherever the process goes."""


def read_secret(path: Path) -> str:
    """Return what a file holds, and remember where that is from; a pipe is read only once."""
    secret = path.read_text(encoding="utf-8-sig").strip()
    if path.is_file():
        _FILES[secret] = path.absolute()
    return secret


def file_of(secret: str) -> Path | None:
    """Return the file that a secret was read from, and can be again; None for any other."""
    return _FILES.get(secret)


def read_again(secret: str) -> str:
    """Return what the file holds now that a secret was read from.

    The secret itself where that cannot be told, and when it was not read from a file.
    """
    file = file_of(secret)
    if file is None:
        return secret
    try:
        return read_secret(file) or secret
    except (OSError, UnicodeDecodeError):
        return secret
