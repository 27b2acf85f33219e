"""``python -m workhorse.demo.leash PID …``: the `workhorse` command, ended by the kernel with PID.

A demo that is killed leaves no worker behind.
"""

from __future__ import annotations

import runpy
import sys

from workhorse.engine.proctree import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv.pop(1)))
    runpy.run_module("workhorse", run_name="__main__", alter_sys=True)
