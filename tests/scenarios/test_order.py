"""When a job starts: by queue, by priority, by age, on time, and at once."""

from __future__ import annotations

import signal
import time

from tests.scenarios.facts import eventually
from tests.scenarios.scene import Scene
from workhorse.domain.job import State


def order(scene: Scene, jobs: list[int]) -> list[int]:
    """Wait for these jobs, and return them in the order they started."""
    for job in jobs:
        assert scene.until(job).state is State.SUCCEEDED
    return [entry.data["job"] for entry in scene.told("start") if entry.data["job"] in jobs]


def test_queues_are_strict_then_priority_then_age(scene: Scene) -> None:
    """All of an earlier queue before any of a later one; in a queue by priority, oldest first."""
    quick = scene.jobs.quick
    late = [quick.using(queue="late", priority="critical").enqueue(n).id for n in range(3)]
    low = [quick.using(queue="early", priority="low").enqueue(n).id for n in range(3)]
    normal = [quick.using(queue="early").enqueue(n).id for n in range(3)]
    critical = [quick.using(queue="early", priority="critical").enqueue(n).id for n in range(3)]
    high = [quick.using(queue="early", priority=10).enqueue(n).id for n in range(3)]
    wanted = [*critical, *high, *normal, *low, *late]
    scene.worker(queues=["early", "late"], concurrency=1)
    assert order(scene, wanted) == wanted


def test_a_later_queue_waits_while_an_earlier_one_has_work(scene: Scene) -> None:
    """Work that comes to an earlier queue meanwhile goes before a later queue's backlog."""
    backlog = [scene.jobs.nap.using(queue="late").enqueue(0.2).id for _ in range(12)]
    scene.worker(queues=["early", "late"], concurrency=1)
    scene.until_told("start", job=backlog[1])
    urgent = scene.jobs.quick.using(queue="early").enqueue()
    assert scene.until(urgent.id).state is State.SUCCEEDED
    started = [entry.data["job"] for entry in scene.told("start")]
    assert urgent.id in started
    assert len(started) < len(backlog), "the backlog was finished first"


def test_a_paused_queue_rests(scene: Scene) -> None:
    """Nothing is claimed from a paused queue until it is resumed; then at once."""
    scene.store.pause("default")
    job = scene.jobs.quick.enqueue()
    other = scene.jobs.quick.using(queue="other").enqueue()
    scene.worker(queues=["default", "other"], poll_interval=0.1)
    assert scene.until(other.id).state is State.SUCCEEDED
    assert scene.state(job.id) is State.AVAILABLE
    scene.store.resume("default")
    assert scene.until(job.id).state is State.SUCCEEDED


def test_a_delayed_job_starts_on_time(scene: Scene) -> None:
    """A job with a delay starts when it is due: never early, and not a poll interval late."""
    scene.worker(poll_interval=30).ready()
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    asked = time.monotonic()
    job = scene.jobs.quick.using(delay=1.5).enqueue()
    assert scene.state(job.id) is State.SCHEDULED
    waited = scene.until_told("start", job=job.id).at / 1e9 - asked
    print(f"a delay of 1.5 s: started after {waited:.3f} s")
    assert 1.5 <= waited < 3.0


def test_a_job_that_waits_for_another_and_for_its_time_starts_on_time(scene: Scene) -> None:
    """When its time comes last it starts then, as if it had been delayed alone."""
    scene.worker(poll_interval=30).ready()
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    asked = time.monotonic()
    first = scene.jobs.nap.enqueue(0.8)
    job = scene.jobs.quick.using(after=first, delay=1.5).enqueue()
    assert scene.until(first.id).state is State.SUCCEEDED
    assert scene.state(job.id) is State.BLOCKED
    waited = scene.until_told("start", job=job.id).at / 1e9 - asked
    assert 1.5 <= waited < 3.0


def test_an_idle_worker_is_pushed(scene: Scene) -> None:
    """A job is picked up at once although the worker polls only every 30 s."""
    scene.worker(poll_interval=30).ready()
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    waits = []
    for _ in range(10):
        # The worker has gone to sleep when its child has used no time for a while.
        eventually(lambda: not scene.store.held(scene.store.workers()[0].id))
        asked = time.monotonic_ns()
        job = scene.jobs.quick.enqueue()
        waits.append((scene.until_told("start", job=job.id).at - asked) / 1e6)
    print(f"push: picked up after {sorted(waits)[5]:.1f} ms (median), {max(waits):.1f} ms (worst)")
    assert max(waits) < 1000


def test_what_another_worker_lets_go_starts_at_once(scene: Scene) -> None:
    """A job that waited for one of another worker's does not wait for the next look as well."""
    for queue in ("early", "late"):
        scene.worker(queues=[queue], poll_interval=60)
        scene.until(scene.jobs.quick.using(queue=queue).enqueue().id)
    first = scene.jobs.nap.using(queue="early").enqueue(0.5)
    second = scene.jobs.quick.using(queue="late").using(after=[first]).enqueue()
    scene.until(second.id)
    waited = moment(scene, second.id, "claim") - moment(scene, first.id, "complete")
    print(f"waited {waited} ms")
    assert waited < 5000


def test_what_another_worker_gives_back_starts_at_once(scene: Scene) -> None:
    """A job that is released at a drain does not wait for the next look either."""
    leaving = scene.worker(queues=["early"], shutdown_timeout=1)
    job = scene.jobs.nap.using(queue="early").enqueue(60)
    scene.until_told("start", job=job.id)
    scene.worker(queues=["early", "late"], poll_interval=60)
    scene.until(scene.jobs.quick.using(queue="late").enqueue().id)
    leaving.send(signal.SIGTERM)
    scene.until_told("start", job=job.id, attempt=2)
    claims = [event.at for event in scene.events(job.id, "claim")]
    waited = claims[1] - moment(scene, job.id, "release")
    print(f"waited {waited} ms")
    assert waited < 5000


def moment(scene: Scene, job_id: int, name: str) -> int:
    """Return when something became of a job, in ms."""
    (event,) = scene.events(job_id, name)
    return event.at


def test_polling_alone_is_enough(scene: Scene) -> None:
    """With every wake-up lost, a job is still picked up by the next poll."""
    scene.worker(poll_interval=0.5, **scene.site.deaf).ready()
    assert scene.until(scene.jobs.quick.enqueue().id).state is State.SUCCEEDED
    bare = scene.jobs.quick.bind("by poll")
    [enqueued] = scene.store.enqueue([bare.order.job])
    assert scene.until(enqueued.id).state is State.SUCCEEDED
