"""What the chaos runs: short and long handlers of every executor, some of which fail once.

Each returns the number of its attempt, so that the stored result tells who wrote it.
"""

from __future__ import annotations

import asyncio
import time

from tests.scenarios.apps import telling
from workhorse import Context, Retry, Workhorse

app = Workhorse()
OFTEN = Retry(max_attempts=20, base=0.2, factor=1, jitter=0.2)


class Stumbled(Exception):
    """The planned failure."""


def begin(ctx: Context, stumble: bool) -> None:
    telling.start(ctx)
    if stumble and ctx.attempt == 1:
        telling.fail(ctx)
        raise Stumbled


@app.job(retry=OFTEN, timeout=120)
async def nothing(ctx: Context, stumble: bool = False) -> int:
    begin(ctx, stumble)
    telling.end(ctx)
    return ctx.attempt


@app.job(retry=OFTEN, timeout=120)
async def nap(ctx: Context, seconds: float, stumble: bool = False) -> int:
    begin(ctx, stumble)
    await asyncio.sleep(seconds)
    telling.end(ctx)
    return ctx.attempt


@app.job(run="thread", retry=OFTEN, timeout=120)
def nap_thread(ctx: Context, seconds: float, stumble: bool = False) -> int:
    begin(ctx, stumble)
    time.sleep(seconds)
    telling.end(ctx)
    return ctx.attempt


@app.job(run="process", retry=OFTEN, timeout=120)
def nap_process(ctx: Context, seconds: float, stumble: bool = False) -> int:
    begin(ctx, stumble)
    time.sleep(seconds)
    telling.end(ctx)
    return ctx.attempt
