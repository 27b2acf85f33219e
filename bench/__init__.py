"""Workhorse against other queues, on this machine, in one interleaved run. See README.md."""
