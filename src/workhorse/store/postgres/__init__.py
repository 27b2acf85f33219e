"""The store on PostgreSQL, for a fleet of hosts."""

from workhorse.store.postgres.store import PostgresStore
from workhorse.store.postgres.url import parse

__all__ = ["PostgresStore", "parse"]
