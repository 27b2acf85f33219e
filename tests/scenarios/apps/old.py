"""The version before: it knows one kind fewer than `stage`."""

from __future__ import annotations

from typing import Any

from tests.scenarios.apps import telling
from workhorse import Context, Workhorse

app = Workhorse()


@app.job
async def quick(ctx: Context, value: Any = None) -> Any:
    telling.start(ctx)
    telling.end(ctx)
    return value
