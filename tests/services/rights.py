"""What the PostgreSQL guide grants each of its roles: tests play by it, and so prove it enough."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, LiteralString, cast

GUIDE: Final = Path(__file__).parents[2] / "docs" / "guide" / "postgres.md"
OWNER: Final = "shop_owner"
APP: Final = "app"
WATCHER: Final = "watcher"


def rights(role: str, *, owner: str = OWNER, name: str = "") -> LiteralString:
    """Return the statements that give one of the guide's roles its rights, or `name` them."""
    _, chapter = GUIDE.read_text().split("\n## Roles\n")
    block = re.search(r"```sql\n(.*?)```", chapter, re.DOTALL)
    assert block is not None
    (found,) = [part for part in block[1].split("\n\n") if re.search(rf" to {role};", part)]
    for old, new in ((role, name or role), (OWNER, owner)):
        found = re.sub(rf"\b{old}\b", new, found)
    return cast("LiteralString", found)
