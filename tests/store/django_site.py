"""Django on a test's database, with no project around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.db import connection, connections


@contextmanager
def django_on(database: Mapping[str, Any]) -> Iterator[Any]:
    """Give the connection that a project's views have, to the `database` of its settings."""
    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    connections.settings["default"] |= database
    try:
        yield connection
    finally:
        connections["default"].close()
        del connections["default"]
