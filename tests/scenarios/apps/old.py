"""The version before: it knows fewer kinds than `stage`, and those with fewer arguments."""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.scenarios.apps import telling
from workhorse import Context, Workhorse

app = Workhorse()


@app.job
async def quick(ctx: Context, value: Any = None) -> Any:
    telling.start(ctx)
    telling.end(ctx)
    return value


@app.job
async def book(ctx: Context, room: str) -> str:
    """Of a plain kind."""
    telling.start(ctx)
    return f"{room} old"


@app.job
async def book_day(ctx: Context, day: date) -> str:
    """Of a kind whose arguments are checked in the worker too."""
    telling.start(ctx)
    return f"{day} old"
