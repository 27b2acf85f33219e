"""What lies under a path: found in the kernel's table of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from workhorse.store.sqlite import filesystem
from workhorse.store.sqlite.filesystem import NETWORK, file_system, kind_in, nearly_full

MOUNTS = r"""
sysfs /sys sysfs rw 0 0
/dev/sda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
server:/export /mnt/nfs nfs4 rw 0 0
/dev/sdb1 /mnt/nfs/local xfs rw 0 0
//nas/share /mnt/with\040space cifs rw 0 0
host: /mnt/back\134slash fuse.sshfs rw 0 0
server:/été /mnt/été nfs rw 0 0
/dev/sdc1 /mnt/twice ext4 rw 0 0
share /mnt/twice 9p rw 0 0
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/jobs", "ext4"),
        ("/", "ext4"),
        ("/run/jobs", "tmpfs"),
        ("/running", "ext4"),
        ("/mnt/nfs", "nfs4"),
        ("/mnt/nfs/jobs", "nfs4"),
        ("/mnt/nfs/local/jobs", "xfs"),
        ("/mnt/with space/jobs", "cifs"),
        ("/mnt/back\\slash/jobs", "fuse.sshfs"),
        ("/mnt/été/jobs", "nfs"),
        ("/mnt/twice/jobs", "9p"),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str) -> None:
    """Whatever its name; and of two on one point the later one."""
    assert kind_in(MOUNTS, Path(path)) == kind


def test_a_table_that_says_nothing() -> None:
    """Without a mount that holds the path its kind is not known."""
    assert kind_in("", Path("/var")) == "unknown"


def test_the_file_system_of_this_machine(tmp_path: Path) -> None:
    """The real table can be read, and a temporary folder is on a local disk."""
    assert file_system(Path("/proc")) == "proc"
    assert file_system(tmp_path) not in NETWORK | {"unknown"}


def test_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk counts as nearly full below a bound."""
    monkeypatch.setattr(filesystem, "LOW_SPACE", 0)
    assert not nearly_full(tmp_path)
    monkeypatch.setattr(filesystem, "LOW_SPACE", 2**80)
    assert nearly_full(tmp_path)
