"""The build backend of this project: PEP 517, and nothing but the standard library.

Both archives come out the same, byte for byte, whenever the files are the same.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import tomllib
import zipfile
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel into `wheel_directory` and return its file name."""
    project = read_project()
    stem = f"{project['name']}-{project['version']}"
    paths = sorted(Path(project["name"]).rglob("*.py"))
    files = {path.as_posix(): path.read_bytes() for path in paths}
    files[f"{stem}.dist-info/METADATA"] = metadata(project)
    files[f"{stem}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: basket-backend 1\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = f"{stem}.dist-info/RECORD"
    rows = [f"{name},sha256={digest(data)},{len(data)}" for name, data in files.items()]
    files[record] = ("\n".join([*rows, f"{record},,"]) + "\n").encode()
    wheel = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return wheel


def build_sdist(sdist_directory, config_settings=None):
    """Write the source archive into `sdist_directory` and return its file name."""
    project = read_project()
    stem = f"{project['name']}-{project['version']}"
    folders = [project["name"], "tests", "tools"]
    paths = [Path("pyproject.toml"), Path("README.md")]
    paths += [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    files = {f"{stem}/{path.as_posix()}": path.read_bytes() for path in paths}
    files[f"{stem}/PKG-INFO"] = metadata(project)
    sdist = f"{stem}.tar.gz"
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    Path(sdist_directory, sdist).write_bytes(gzip.compress(plain.getvalue(), mtime=0))
    return sdist


def read_project():
    return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def metadata(project):
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
    ]
    return ("\n".join(lines) + "\n").encode()


def digest(data):
    raw = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
