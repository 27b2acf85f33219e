"""The database file and its run folder: made for their owner alone, and still there."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

from workhorse.domain.errors import StoreGone, Unavailable
from workhorse.store.sqlite.filesystem import NETWORK, file_system

_CREATING: Final = threading.Lock()


class StoreFile:
    """Where one store is.

    `path` is what the user calls it, and may be a link; `real` is the file itself. All that
    stands beside a store stands beside that, so that who comes by a link shares it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.real = Path(os.path.realpath(path))
        self.run_dir = self.real.with_name(self.real.name + "-run")
        self._known: tuple[int, int] | None = None

    def make(self) -> None:
        """Make what is not there yet, on a disk that SQLite can use."""
        if os.path.isdir(self.real):
            raise Unavailable(f"The store {self.path} is a folder.", hint="Name a file in it.")
        self.real.parent.mkdir(parents=True, exist_ok=True)
        kind = file_system(self.real.parent)
        if kind in NETWORK:
            raise Unavailable(
                f"The store {self.path} is on a network file system ({kind}).",
                hint="SQLite needs a local disk.",
            )
        self._make_file()
        self.run_dir.mkdir(mode=0o700, exist_ok=True)

    def _make_file(self) -> None:
        """Create the file for its owner alone, unless it is there.

        One that is there is never opened here: closing it again would let go of every lock that
        SQLite holds on it for this process (POSIX), and another process, seeing none, would
        delete the log that we write to.
        """
        with _CREATING, contextlib.suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self.real, flags, 0o600))

    def remember(self) -> None:
        """Note which file was opened: from now on it must be the one that is found."""
        found = os.stat(self.real)
        self._known = found.st_dev, found.st_ino

    def check(self) -> None:
        """Raise `StoreGone` when the path no longer leads to the file that was opened.

        SQLite would go on in it for as long as it is open, and nobody else would see any of that.
        """
        try:
            found = os.stat(self.path)
            is_there = self._known in {None, (found.st_dev, found.st_ino)}
        except (FileNotFoundError, NotADirectoryError):
            is_there = self._known is None
        except OSError:  # that says nothing
            return
        if not is_there:
            raise StoreGone(
                f"The store {self.path} was deleted or replaced since it was opened.",
                hint="Start this process again: it takes what is there then.",
            )
