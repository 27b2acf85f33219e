"""Handlers that leave: themselves, or things behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from workhorse import Context, Retry, Workhorse

app = Workhorse()
SOON = Retry(max_attempts=5, base=0.05, factor=1, jitter=0)
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(120)"]


@app.job(retry=SOON)
async def leave(code: int) -> None:
    """Exit the whole child."""
    os._exit(code)


@app.job(retry=SOON)
async def linger() -> int:
    """Leave a thread in the loop's pool that ends in two minutes."""
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 120)
    return os.getpid()


@app.job(run="process", retry=SOON)
def start_clean(ctx: Context, folder: str) -> None:
    """Start a process with a clean environment, and wait for it."""
    process = subprocess.Popen(SLEEP, env={})
    draft = Path(folder) / f"draft-{ctx.attempt}"
    draft.write_text(str(process.pid))
    draft.rename(Path(folder) / f"left-{ctx.attempt}")
    process.wait()
