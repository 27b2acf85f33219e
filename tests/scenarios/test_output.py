"""What a handler says while it runs can be followed, is kept, and cannot drown anybody."""

from __future__ import annotations

import pytest

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from workhorse.domain.job import State

KEPT_BYTES = 2 << 20


@pytest.mark.parametrize("kind", ["reporter", "reporter_process"])
def test_progress_and_lines_stream_with_a_cursor(scene: Scene, kind: str) -> None:
    """Lines and progress can be read while the job runs, page by page, none twice, none missed."""
    scene.worker()
    job = getattr(scene.jobs, kind).enqueue(20, 0.1)
    cursor, seen, live = 0, [], 0

    def follow() -> bool:
        nonlocal cursor, live
        finished = scene.job(job.id).is_finished
        page = scene.store.events(job_id=job.id, after=cursor, limit=3)
        while page:
            seen.extend(page)
            cursor = page[-1].seq
            live += 0 if finished else sum(event.name == "log" for event in page)
            page = scene.store.events(job_id=job.id, after=cursor, limit=3)
        return finished

    eventually(follow, every=0.05)
    lines = [event for event in seen if event.name == "log"]
    assert [line.data["n"] for line in lines] == list(range(1, 21))
    assert [line.data["message"] for line in lines] == [f"step {n}" for n in range(1, 21)]
    assert live >= 5, f"only {live} lines could be read while the job ran"
    assert len({event.seq for event in seen}) == len(seen)
    percents = [event.data["percent"] for event in seen if event.name == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert (scene.job(job.id).progress, scene.job(job.id).message) == (100, "20 of 20")
    assert {event.attempt for event in lines} == {1}


def test_a_flood_of_lines_is_thinned_out(scene: Scene) -> None:
    """Far too many lines: the job succeeds, a bounded number is kept, and what went is told."""
    scene.worker(concurrency=2)
    flood = scene.jobs.flood.enqueue(200_000, 10)
    scene.until_told("start", job=flood.id)
    neighbour = scene.jobs.quick.enqueue()
    assert scene.until(neighbour.id).state is State.SUCCEEDED
    assert scene.until(flood.id, within=60).state is State.SUCCEEDED
    lines = scene.events(flood.id, "log")
    assert 0 < len(lines) < 50_000
    assert any("dropped" in line.data["message"] for line in lines)
    assert [line.data["n"] for line in lines[-100:]] == list(range(199_901, 200_001))


def test_a_flood_of_bytes_is_cut_off(scene: Scene) -> None:
    """Far too many bytes: the job succeeds, a bounded amount is kept, and the cut is told."""
    scene.worker(concurrency=2)
    flood = scene.jobs.flood.enqueue(600, 50_000)
    assert scene.until(flood.id, within=60).state is State.SUCCEEDED
    lines = scene.events(flood.id, "log")
    assert sum(len(line.data["message"]) for line in lines) < KEPT_BYTES
    assert any("only the last is kept" in line.data["message"] for line in lines)
    assert lines[-1].data["n"] == 600
