"""Why a job is where it is, in words a person can act on. Pure: facts in, text out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workhorse.domain.job import Attempt, Job, QueueStats, State, WorkerInfo
from workhorse.instants import when

START: Final = "start one with `workhorse worker{}`."
NO_WORKER: Final = f"No worker is alive: {START}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a job and its surroundings."""

    job: Job
    attempts: Sequence[Attempt]
    queue: QueueStats
    workers: Sequence[WorkerInfo]
    silent: Collection[int]
    """Those of the workers whose lease has run out."""
    waits_for: Mapping[int, State | None]
    """The state of each job it waits for; None for one that is gone."""


def explain(facts: Facts) -> str:
    """Return a few lines: where the job stands, why, and what became of each attempt."""
    return "\n".join([*standing(facts), *_history(facts)])


def standing(facts: Facts) -> Iterator[str]:
    """Yield where the job stands and why, a sentence each."""
    job = facts.job
    name = f"Job {job.id} ({job.kind})"
    match job.state:
        case State.SCHEDULED:
            yield f"{name} is scheduled until {when(job.run_at)}{_why_scheduled(facts)}."
            yield from _in_the_way(facts)
        case State.BLOCKED if facts.waits_for:
            yield f"{name} is blocked: it waits for {_blockers(facts)} to succeed."
        case State.BLOCKED:
            due = when(job.run_at)
            yield f"{name} is blocked until {due}: what it waited for has succeeded."
            yield from _in_the_way(facts)
        case State.AVAILABLE:
            yield f"{name} is available, and waits to be claimed."
            yield from _in_the_way(facts)
            yield from _before_it(facts)
        case State.RUNNING:
            yield (
                f"{name} is running: attempt {job.attempt}, since {when(job.started_at)}, "
                f"on worker {job.worker}{_progress(job)}."
            )
            if job.cancel_requested:
                yield "It was asked to stop, and ends as soon as its worker has ended it."
            if job.worker in facts.silent:
                yield (
                    f"Worker {job.worker} has let its lease run out: "
                    "another worker will give the job back."
                )
                if not _alive(facts.workers, facts.silent):
                    yield NO_WORKER.format("")
        case State.SUCCEEDED:
            yield f"{name} succeeded at {when(job.finished_at)}, in attempt {job.attempt}."
        case State.FAILED:
            yield f"{name} failed at {when(job.finished_at)}: {_why_failed(job)}."
            yield "Requeue it once the cause is mended."
        case State.CANCELLED:
            yield f"{name} was cancelled at {when(job.finished_at)}{why_cancelled(job)}."


def _why_scheduled(facts: Facts) -> str:
    job = facts.job
    if not facts.attempts:
        return ""
    last = facts.attempts[-1]
    return f" (attempt {last.attempt} ended: {last.outcome}; {_budget(job)})"


def _in_the_way(facts: Facts) -> Iterator[str]:
    """Yield what will keep it from being claimed, whenever that may be."""
    job = facts.job
    if facts.queue.paused:
        yield f"Queue {job.queue!r} is paused: resume it, and its jobs are claimed again."
    if nobody := nobody_for(job, facts.workers, facts.silent):
        yield nobody


def _before_it(facts: Facts) -> Iterator[str]:
    """Yield what is in its queue, and in the slots of those who can run it."""
    job, queue = facts.job, facts.queue
    ahead = queue.counts.get(State.AVAILABLE, 0) - 1
    if ahead > 0:
        yield f"Queue {job.queue!r} has {_count(ahead, 'other job')} available."
    if can := able(job, facts.workers, facts.silent):
        slots = sum(worker.processes * worker.concurrency for worker in can)
        running = sum(worker.running for worker in can)
        yield f"{_count(len(can), 'worker')} can run it: {running} of {slots} slots are in use."
    if job.solo:
        yield "It runs alone in its process, because earlier attempts were interrupted."


def nobody_for(job: Job, workers: Sequence[WorkerInfo], silent: Collection[int]) -> str | None:
    """Return why no worker may claim a job, and what to do; None when one may."""
    alive, queues = _alive(workers, silent), f" --queues {job.queue}"
    if not alive:
        return NO_WORKER.format("" if job.queue == "default" else queues)
    if not any(job.queue in worker.queues for worker in alive):
        return f"No living worker serves queue {job.queue!r}: {START.format(queues)}"
    if not able(job, workers, silent):
        return f"No living worker of queue {job.queue!r} knows kind {job.kind!r}: deploy its code."
    return None


def able(job: Job, workers: Sequence[WorkerInfo], silent: Collection[int]) -> list[WorkerInfo]:
    """Return the workers that may claim a job: alive, of its queue, with its kind."""
    return [
        worker
        for worker in _alive(workers, silent)
        if job.queue in worker.queues and job.kind in worker.kinds
    ]


def _alive(workers: Sequence[WorkerInfo], silent: Collection[int]) -> list[WorkerInfo]:
    """Return those that are neither draining nor silent."""
    return [worker for worker in workers if worker.state == "alive" and worker.id not in silent]


def _blockers(facts: Facts) -> str:
    told = [
        f"{job_id} ({'gone' if state is None else state})"
        for job_id, state in list(facts.waits_for.items())[:10]
    ]
    more = len(facts.waits_for) - len(told)
    if more > 0:
        told.append(f"{more} more")
    return "job " + ", ".join(told)


def _why_failed(job: Job) -> str:
    reason = error_line(job.error).rstrip(".") if job.error else f"{job.outcome or 'unknown'}"
    return f"{reason} ({_budget(job)})"


def why_cancelled(job: Job) -> str:
    """Return what follows "was cancelled": why, in one line, when it is known."""
    message = _one_line(str((job.error or {}).get("message", "")))
    return f": {message}" if message else ""


def _budget(job: Job) -> str:
    return f"{job.failures} of {_count(job.max_attempts, 'attempt')} used"


def _progress(job: Job) -> str:
    if job.progress is None:
        return ""
    return f", {job.progress} %" + (f" {job.message}" if job.message else "")


def _history(facts: Facts) -> Iterator[str]:
    if facts.attempts:
        yield "Attempts:"
    for attempt in facts.attempts:
        took = (attempt.finished_at - attempt.started_at) / 1000
        line = f"  {attempt.attempt}. {attempt.outcome} after {took:.3f} s"
        if attempt.error:
            line += f": {error_line(attempt.error)}"
        yield line


def error_line(error: Mapping[str, Any]) -> str:
    """Return an error as one line of at most 200 characters."""
    return _one_line(error_words(error))


def error_words(error: Mapping[str, Any]) -> str:
    """Return all that an error says: its type alone when it says no more."""
    name, message = error.get("type", "error"), error.get("message")
    return f"{name}: {message}" if message else str(name)


def _one_line(text: str) -> str:
    """Return text as one line of at most 200 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:199] + "…"  # noqa: PLR2004


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
