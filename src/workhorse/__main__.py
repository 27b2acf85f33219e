"""`workhorse` and `python -m workhorse`: the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code, also when interrupted as it loads."""
    try:
        from workhorse.cli.start import run

        code = run(sys.argv[1:])
        if "workhorse.app" in sys.modules:  # only an app starts threads of its own
            from workhorse.cli.ending import end_soon

            end_soon(code)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
