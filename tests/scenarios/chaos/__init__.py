"""Chaos: many jobs, many faults, one verdict.

``python -m tests.scenarios.chaos --seconds N --jobs N --seed S``: producers and workers run on
one SQLite file while a seeded nemesis kills, freezes and redeploys them. Then everything is
healed and drained, and the oracle judges. See `tests/scenarios/oracle.py` for the rules.
"""
