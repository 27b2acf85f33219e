"""The kinds and the app for `workhorse worker --app bench.peers.workhorse_app:app`."""

from __future__ import annotations

import os

from bench import marks
from workhorse import Workhorse

app = Workhorse()

if os.environ.get("BENCH_WORKHORSE_RUN") == "thread":

    @app.job(name="noop", queue="bench", run="thread")
    def noop() -> None:
        return None

else:

    @app.job(name="noop", queue="bench")
    async def noop() -> None:
        return None


@app.job(name="waiting", queue="backlog")
async def waiting() -> None:
    return None


@app.job(name="mark", queue="bench")
async def mark(path: str) -> None:
    marks.mark(path)


@app.job(name="stamp", queue="bench")
async def stamp(path: str, sent: int) -> None:
    marks.stamp(path, sent)
