"""How many bytes finished jobs hold: all of them to the byte, though each is measured but once.

The jobs of each final state are parted into spans of the time at which they ended. What has ended
stays as it is, but may leave, and another may come whose end was committed late. So each look
counts the jobs of each span and adds up when they ended, by an index, and measures the spans of
which either has changed: two changes that make up for each other in both, to the millisecond, are
not seen. The last span of a state is open to what ends from now on, and known only while empty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from workhorse.domain.job import State
from workhorse.store.driver import Transaction
from workhorse.store.fast_json import compact, from_json

Read: TypeAlias = Callable[..., list[Any]]
"""Asks one thing of the store, by the statement's name."""

MOST: Final = 1000
"""Most jobs that are measured by one read; a span has about as many."""
FEW: Final = 100
"""Jobs that are measured by one read though it takes long, unless it fails: the way may be long."""
LONG: Final = 0.05
"""Seconds after which the next read is of fewer: some jobs have very many events."""
BITS: Final = 2**32 - 1
ALWAYS: Final = -(2**62)
NEVER: Final = 2**62


class Span(NamedTuple):
    """The jobs of a state that ended `since` an instant and before `until`, as last measured."""

    state: State
    since: int = ALWAYS
    until: int = NEVER
    jobs: int = -1
    """How many there were; less than none when they have not been measured."""
    ends: int = 0
    """When they ended, added up: of each instant its lowest `BITS`, for the sum to fit."""
    held: int = 0
    """How many bytes they held, with their attempts and events."""


class Measure:
    """What is known of the finished jobs of one store."""

    def __init__(self, states: Iterable[State]) -> None:
        """Know nothing yet; `states` are in the order in which their jobs are to go."""
        self._spans = [Span(state) for state in states]
        self._portion = FEW

    @property
    def held(self) -> int:
        """How many bytes all of them held when they were looked at last."""
        return sum(span.held for span in self._spans)

    def look(self, read: Read, *, patience: float) -> bool:
        """Count, and measure what has changed for so many seconds; tell whether there is more."""
        counts = from_json(read("retention.counts", spans=_asked(self._spans))[0][0])
        until = time.monotonic() + patience
        spans: list[Span] = []
        for span, now in zip(self._spans, counts, strict=True):
            spans += [span] if now == _known(span) else self._measured(read, span, until)
        self._spans = _joined(spans)
        return any(span.jobs < 0 for span in spans)

    def still_holds(self, tx: Transaction, jobs: int) -> bool:
        """Whether nobody has taken any of so many jobs, those to go first, since the last look."""
        first: list[Span] = []
        for span in self._spans:
            if jobs > 0:
                first.append(span)
                jobs -= span.jobs
        counts = tx.listed("retention.counts", spans=_asked(first))
        return all(
            now[0] > span.jobs or now == _known(span)
            for span, now in zip(first, counts, strict=True)
        )

    def _measured(self, read: Read, span: Span, until: float) -> Iterator[Span]:
        """Part a span into measured ones, and what is left when the time is over."""
        while time.monotonic() < until:
            portion, began = self._portion, time.monotonic()
            self._portion = max(1, portion // 2)  # if this one fails
            found = _weights(read, span, portion)
            if time.monotonic() - began < LONG:
                self._portion = min(MOST, 2 * portion)
            else:
                self._portion = max(portion // 2, min(portion, FEW))
            if len(found) < portion:
                if span.until == NEVER and found:
                    cut = found[-1][0] + 1
                    yield _with(span._replace(until=cut), found)
                    span, found = span._replace(since=cut), []
                yield _with(span, found)
                return
            cut = found[-1][0]  # there may be more that ended at this very instant
            if cut == found[0][0]:
                cut += 1
                found = _weights(read, span._replace(until=cut), NEVER)
            yield _with(span._replace(until=cut), found)
            span = span._replace(since=cut)
        yield span._replace(jobs=-1, ends=0, held=0)


def _with(span: Span, found: Iterable[tuple[int, int]]) -> Span:
    """Return a span with what is known of those of the `found` that ended in it."""
    its = [(at, held) for at, held in found if at < span.until]
    return span._replace(
        jobs=len(its), ends=sum(at & BITS for at, _ in its), held=sum(held for _, held in its)
    )


def _known(span: Span) -> list[int]:
    return [span.jobs, span.ends]


def _asked(spans: Iterable[Span]) -> str:
    return compact([(span.state, span.since, span.until) for span in spans])


def _weights(read: Read, span: Span, limit: int) -> list[tuple[int, int]]:
    """Return of the first jobs of a span when each ended, and how many bytes it holds."""
    state, since, until, *_ = span
    ((found,),) = read("retention.weights", state=state, since=since, until=until, limit=limit)
    return from_json(found)  # type: ignore[no-any-return]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Make one of neighbours that are measured and over, up to `MOST` jobs."""
    joined: list[Span] = []
    for span in spans:
        if joined and _are_one(joined[-1], span):
            first = joined.pop()
            joined += [
                first._replace(
                    until=span.until,
                    jobs=first.jobs + span.jobs,
                    ends=first.ends + span.ends,
                    held=first.held + span.held,
                )
            ]
        else:
            joined += [span]
    return joined


def _are_one(first: Span, second: Span) -> bool:
    return (
        first.state == second.state
        and min(first.jobs, second.jobs) >= 0
        and first.jobs + second.jobs <= MOST
        and second.until < NEVER
    )
