"""An app that cannot be imported when the file says so, and gives another reason each time."""

import os
from pathlib import Path

from workhorse import Workhorse

app = Workhorse()


@app.job()
async def work() -> str:
    return "done"


if Path("broken").exists():
    raise ConnectionError(f"<Connection of process {os.getpid()}> is refused")
