"""Run a part of a peer in Python: `python -m bench.app MODULE FUNCTION URL ARGUMENTS`."""

from __future__ import annotations

import json
import sys
from importlib import import_module


def main(arguments: list[str]) -> None:
    """Call `install` or `work` of a module in bench/peers/apps."""
    module, function, url, options = arguments
    getattr(import_module(f"bench.peers.apps.{module}"), function)(url, **json.loads(options))


if __name__ == "__main__":
    main(sys.argv[1:])
