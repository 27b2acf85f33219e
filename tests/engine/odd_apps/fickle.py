"""An app that a careless deploy has broken when the file says so."""

from pathlib import Path

from workhorse import Workhorse

app = Workhorse()


@app.job()
async def work() -> str:
    return "done"


if Path("broken").exists():
    raise RuntimeError("this release was not tested")
