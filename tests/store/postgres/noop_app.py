"""An app whose one kind does nothing."""

from __future__ import annotations

from workhorse import Workhorse

app = Workhorse()


@app.job
async def noop() -> None:
    return None
