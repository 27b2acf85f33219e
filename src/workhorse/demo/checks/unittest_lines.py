"""Run the unittest suite of the current folder and print one JSON line per test.

``python unittest_lines.py tests`` prints the number of tests, then for each
``{"name", "outcome", "message"}`` with outcome passed, failed or skipped. What the tests
themselves print goes to standard error. Exits 1 when a test failed. It runs as a script of
its own and imports nothing but the standard library.
"""

from __future__ import annotations

import json
import sys
import unittest
from typing import Any, TextIO


class Lines(unittest.TestResult):
    """Writes down each test as it ends."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._problem: tuple[str, str] | None = None

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._problem = None

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        outcome, message = self._problem or ("passed", "")
        self._write(test.id(), outcome, message)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._fail(test, err)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._fail(test, err)
        if not isinstance(test, unittest.TestCase):  # a broken setUpClass or module
            self._write(test.id(), *(self._problem or ("failed", "")))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._fail(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._problem = ("skipped", reason or "skipped")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._problem = ("failed", "it was expected to fail, and passed")

    def _fail(self, _test: unittest.TestCase, err: Any) -> None:
        text = str(err[1]).strip().splitlines()
        self._problem = ("failed", f"{err[0].__name__}: {text[0] if text else ''}")

    def _write(self, name: str, outcome: str, message: str) -> None:
        line = {"name": name, "outcome": outcome, "message": message}
        print(json.dumps(line), file=self._out, flush=True)


def main(start: str) -> int:
    """Discover under `start`, run, and tell whether a test failed."""
    out, sys.stdout = sys.stdout, sys.stderr
    suite = unittest.defaultTestLoader.discover(start, top_level_dir=".")
    print(suite.countTestCases(), file=out, flush=True)
    result = Lines(out)
    suite.run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
