"""Chaos: many jobs, many faults, one verdict.

``python -m tests.scenarios.chaos --seconds N --jobs N --seed S --store postgres``: producers and
workers run on one store while a seeded nemesis kills, freezes and redeploys them; a server it also
crashes, and ends its connections. Then everything is healed and drained, and the oracle judges.
See `tests/scenarios/oracle.py` for the rules.
"""
