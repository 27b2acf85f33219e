"""An app whose import fails, but only in a worker: what a bad deploy looks like."""

from __future__ import annotations

import os

from workhorse import Workhorse

app = Workhorse()

if "WORKHORSE_APP" in os.environ:
    raise RuntimeError("the licence file is missing: /etc/example.key")
