"""The kinds and the app for `workhorse worker --app bench.peers.workhorse_app:app`."""

from __future__ import annotations

import os

from bench import marks
from workhorse import Workhorse

app = Workhorse()
queue = os.environ.get("BENCH_WORKHORSE_QUEUE", "bench")

if os.environ.get("BENCH_WORKHORSE_RUN") == "thread":

    @app.job(queue=queue, run="thread")
    def noop() -> None:
        return None

else:

    @app.job(queue=queue)
    async def noop() -> None:
        return None


@app.job(queue="bench")
async def mark(path: str) -> None:
    marks.mark(path)


@app.job(queue="bench")
async def stamp(path: str, sent: int) -> None:
    marks.stamp(path, sent)
