"""What the store refuses to write in one turn, attempt by attempt: each bears its own refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from workhorse.domain.errors import Unavailable
from workhorse.domain.job import Outcome, State
from workhorse.domain.outcome import Failure
from workhorse.domain.transitions import Change, Verb
from workhorse.logs import log
from workhorse.store.protocol import Settled, Turn

if TYPE_CHECKING:
    from workhorse.domain.events import OutputLine


Write: TypeAlias = "Callable[[list[Settled], Sequence[OutputLine]], Awaitable[Turn]]"
Heed: TypeAlias = Callable[[Turn, Sequence[Settled]], None]


def by_attempt(output: Iterable[OutputLine]) -> list[list[OutputLine]]:
    """Return the lines of each attempt, in their order."""
    said: dict[tuple[int, int], list[OutputLine]] = {}
    for line in output:
        said.setdefault((line.job_id, line.attempt), []).append(line)
    return list(said.values())


async def write_singly(
    settled: list[Settled], said: list[list[OutputLine]], write: Write, heed: Heed
) -> None:
    """Write down what attempts said, then how they ended, each in a turn of its own.

    What is written, or given up, leaves `settled` and `said`: when the store becomes `Unavailable`
    they hold what is left.
    """
    while said:
        await _write_lines(said[0], write)
        del said[0]
    while settled:
        heed(await _write_end(settled[0], write), settled[:1])
        del settled[0]


async def _write_lines(lines: Sequence[OutputLine], write: Write) -> None:
    """Write down what one attempt said; what is refused is dropped."""
    try:
        await write([], lines)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a line is not worth a child
        job_id = lines[0].job_id
        log.error("the store refuses what a job said", job_id=job_id, error=repr(error))


async def _write_end(one: Settled, write: Write) -> Turn:
    """Settle one attempt; where that is refused it has failed for that."""
    try:
        return await write([one], [])
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - else its end is never written down
        return await write([one._replace(change=_unrecordable(error))], [])


def _unrecordable(error: Exception) -> Change:
    """Return the end of an attempt whose own end the store cannot hold."""
    failure = Failure("Unrecordable", f"How it ended could not be written down: {error!r}"[:500])
    return Change(Verb.FAIL, State.FAILED, Outcome.ERROR, error=failure.as_row(), failures=1)
