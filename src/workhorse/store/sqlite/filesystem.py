"""What lies under the store: SQLite's locks and shared memory need a local disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "ncpfs", "glusterfs", "lustre"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.ceph", "beegfs", "gpfs"}
)
"""File systems shared between hosts, by the names Linux gives them."""

LOW_SPACE: Final = 256 * 1024 * 1024
"""Below this many free bytes the disk counts as nearly full."""


def file_system(path: Path) -> str:
    """Return the kind of file system `path` is on, or ``unknown``."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    return kind_in(mounts, path.resolve())


def kind_in(mounts: str, path: Path) -> str:
    """Return the kind of the innermost mount that holds `path`, from a table of mounts."""
    best, kind = -1, "unknown"
    for line in mounts.splitlines():
        _, point, name, *_ = line.split(" ")
        folder = Path(_unescaped(point))
        if path.is_relative_to(folder) and len(folder.parts) >= best:
            best, kind = len(folder.parts), name
    return kind


def _unescaped(point: str) -> str:
    """Return a mount point as it is named: the table writes blanks and backslashes in octal."""
    return point.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")


def nearly_full(path: Path) -> bool:
    """Tell whether the disk under `path` has little room left."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize < LOW_SPACE
