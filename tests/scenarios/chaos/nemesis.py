"""The nemesis: does harm by a seeded schedule, and tells the ledger of all of it.

Each fault is a generator: what it does until its first `yield`, how long it then waits (it
yields seconds), what it does next, and so on. A fault on a worker has that worker's berth for
itself until it is over.
"""

from __future__ import annotations

import heapq
import itertools
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Final, NamedTuple

from tests.scenarios import procs
from tests.scenarios.chaos.fleet import Berth, Fleet
from tests.scenarios.ledger import Ledger
from tests.scenarios.workers import WorkerProcess
from tests.services.postgres import Database

WEIGHTS: Final = {
    "kill_child": 9,
    "kill_supervisor": 4,
    "deploy": 4,
    "stop_tree": 3,
    "stop_supervisor": 2,
    "kill_warden": 1,
    "kill_client": 1,
}
GAP: Final = (0.4, 1.8)
"""Seconds between two faults."""
SERVER: Final = ("end_connections", "crash_server")
"""Faults of a server, in turns, beside the others."""
SERVER_GAP: Final = (2.0, 5.0)
GONE_WITHIN: Final = 3.0
"""Seconds a killed supervisor's processes may live: one is promised, on a machine at rest."""
HEAD_START: Final = 1.0
"""Seconds by which thawed handlers are ahead of their keepers."""
VICTIM_WITHIN: Final = 20.0
"""Seconds a fault waits for its victim, and all that follow with it: a slow machine needs that."""
LONGEST: Final = 4.0
"""The schedule is cut off when it has taken so many times as long as it should."""
LOOK_AGAIN: Final = 0.25
AFTERMATH: Final = 3.0
"""Seconds a thawed worker may take to find out that it was taken for dead."""
Steps = Generator[float, None, None]


class Planned(NamedTuple):
    """One fault of the schedule. `aim` (0 to 1) picks its victim among those there are then."""

    at: float
    what: str
    aim: float
    spread: float


def schedule(seed: int, seconds: float, *, server: bool = False) -> Iterator[Planned]:
    """Return the faults of a run, in their order: the same for the same seed.

    With a `server` it has faults of its own.
    """
    return heapq.merge(_on_workers(seed, seconds), _on_server(seed, seconds) if server else ())


def _on_workers(seed: int, seconds: float) -> Iterator[Planned]:
    chance = random.Random(seed)
    at = chance.uniform(1.5, 2.5)
    names, weights = zip(*WEIGHTS.items(), strict=True)
    while at < seconds:
        what = chance.choices(names, weights)[0]
        yield Planned(at, what, chance.random(), chance.random())
        at += chance.uniform(*GAP)


def _on_server(seed: int, seconds: float) -> Iterator[Planned]:
    chance = random.Random(f"server {seed}")
    at = chance.uniform(*SERVER_GAP)
    for what in itertools.cycle(SERVER):
        if at >= seconds:
            return
        yield Planned(at, what, 0.0, 0.0)
        at += chance.uniform(*SERVER_GAP)


class Nemesis:
    """Plays a schedule on a fleet. `turn` is called again and again, and never takes long."""

    def __init__(
        self,
        fleet: Fleet,
        ledger: Ledger,
        *,
        seed: int,
        seconds: float,
        lease: float,
        kill_client: Callable[[], int],
        server: Database | None = None,
    ) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._lease = lease
        self._kill_client = kill_client
        self._server = server
        self._plan = list(schedule(seed, seconds, server=server is not None))
        self._start = time.monotonic()
        self._give_up_at = self._start + LONGEST * seconds
        self._look_at = 0.0
        self._under_way: list[tuple[float, int, Steps]] = []
        self._number = 0
        self.done: Counter[str] = Counter()
        self.skipped = 0
        self.slowest_end = 0.0
        """Longest time the processes of a killed supervisor lived, in seconds."""
        self._is_away = False
        self._restart: threading.Thread | None = None
        self.longest_crash = 0.0
        """Longest time from the crash of the server until it answered again, in seconds."""
        self.connections_ended = 0

    def turn(self) -> None:
        """Begin the faults that are due, and go on with those under way."""
        if time.monotonic() >= self._look_at:
            self._begin_what_is_due()
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, number, steps = heapq.heappop(self._under_way)
            self._go_on(number, steps)

    def _begin_what_is_due(self) -> None:
        """Begin faults in their order; one that has no victim yet holds up those after it."""
        while self._plan and (late := time.monotonic() - self._start - self._plan[0].at) >= 0:
            if time.monotonic() > self._give_up_at:
                self.skipped += len(self._plan)
                self._plan.clear()
                return
            if self._begin(self._plan[0]):
                self._start += late
            elif late < VICTIM_WITHIN:
                self._look_at = time.monotonic() + LOOK_AGAIN
                return
            else:
                self.skipped += 1
            del self._plan[0]

    @property
    def is_over(self) -> bool:
        """Whether the schedule is played and everything is healed."""
        return not (self._plan or self._under_way)

    def end(self) -> None:
        """See that the server is back, whatever happened."""
        if self._restart is not None:
            self._restart.join()

    def freeze_one_more(self) -> None:
        """Add a freeze of a whole worker to the end of the schedule."""
        self._give_up_at = time.monotonic() + VICTIM_WITHIN
        self._plan.append(Planned(time.monotonic() - self._start, "stop_tree", 0.5, 0.0))

    def _begin(self, fault: Planned) -> bool:
        """Begin a fault; False when there is no victim for it now."""
        if fault.what == "kill_client":
            pid = self._kill_client()
            self._ledger.tell("client_killed", pid=pid)
            self.done[fault.what] += 1
            return True
        if fault.what in SERVER:
            return self._begin_on_server(fault)
        targets = [berth for berth in self._fleet.berths if berth.is_at_work and not berth.busy]
        # One worker at least is left alone, to take over.
        if len(targets) < (1 if fault.what in {"kill_child", "kill_warden"} else 2):
            return False
        self._number += 1
        berth = targets[int(fault.aim * len(targets))]
        assert berth.worker is not None
        play: Callable[[int, Berth, WorkerProcess, Planned], Steps] = getattr(
            self, f"_{fault.what}"
        )
        self._go_on(self._number, play(self._number, berth, berth.worker, fault))
        return True

    def _begin_on_server(self, fault: Planned) -> bool:
        """Begin a fault of the server; False while it is away."""
        if self._server is None or self._is_away:
            return False
        self._number += 1
        play: Callable[[int, Database], Steps] = getattr(self, f"_{fault.what}")
        self._go_on(self._number, play(self._number, self._server))
        return True

    def _go_on(self, number: int, steps: Steps) -> None:
        wait = next(steps, None)
        if wait is not None:
            heapq.heappush(self._under_way, (time.monotonic() + wait, number, steps))

    def _tell(self, number: int, what: str, pid: int, worker: WorkerProcess | None) -> None:
        of = 0 if worker is None else worker.pid
        self._ledger.tell("fault", n=number, fault=what, pid=pid, worker=of)
        self.done[what] += 1

    def _over(self, number: int) -> None:
        self._ledger.tell("fault_over", n=number)

    # -- the faults ----------------------------------------------------------------------

    def _kill_child(self, n: int, berth: Berth, worker: WorkerProcess, fault: Planned) -> Steps:
        """SIGKILL one child."""
        children = worker.children()
        if not children:
            self.skipped += 1
            return
        victim = children[int(fault.spread * len(children))].pid
        self._tell(n, "kill_child", victim, worker)
        procs.send(victim, signal.SIGKILL)
        while procs.alive(victim):
            yield 0.005
        self._over(n)

    def _kill_warden(self, n: int, berth: Berth, worker: WorkerProcess, fault: Planned) -> Steps:
        """SIGKILL the warden: that alone explains nothing, no job may notice."""
        for warden in worker.wardens():
            procs.send(warden.pid, signal.SIGKILL)
            self.done["kill_warden"] += 1
        yield from ()

    def _kill_supervisor(
        self, n: int, berth: Berth, worker: WorkerProcess, fault: Planned
    ) -> Steps:
        """SIGKILL the supervisor; see that all of its processes go; start another later."""
        berth.busy = True
        tree = [process.pid for process in worker.tree()]
        self._tell(n, "kill_supervisor", worker.pid, worker)
        killed = time.monotonic()
        worker.send(signal.SIGKILL)
        while (left := procs.living(tree)) and time.monotonic() - killed < GONE_WITHIN:
            yield 0.01
        self.slowest_end = max(self.slowest_end, time.monotonic() - killed)
        for pid in left:
            self._survived(pid, "kill_supervisor", worker)
        self._over(n)
        self._fleet.clear(berth, wait=2 * fault.spread)

    def _deploy(self, n: int, berth: Berth, worker: WorkerProcess, fault: Planned) -> Steps:
        """SIGTERM; it must end by itself, with exit code 0; start another at once."""
        berth.busy = True
        self._tell(n, "deploy", worker.pid, worker)
        asked = time.monotonic()
        worker.send(signal.SIGTERM)
        while worker.exit_code is None and time.monotonic() - asked < 30:
            yield 0.05
        if worker.exit_code != 0:
            self._fleet.tell_exit(worker, asked="deploy", since=asked)
        for process in worker.tree():
            self._survived(process.pid, "deploy", worker)
        self._over(n)
        self._fleet.clear(berth)

    def _stop_tree(self, n: int, berth: Berth, worker: WorkerProcess, fault: Planned) -> Steps:
        """Freeze every process of a worker for two leases, as a frozen machine would.

        What ran handlers is thawed first, a moment before its keepers: the stale attempts get
        to finish and to try their writes.
        """
        berth.busy = True
        self._tell(n, "stop_tree", worker.pid, worker)
        keepers = [process.pid for process in worker.wardens()] + [worker.pid]
        stopped: dict[int, None] = dict.fromkeys(keepers)
        for pid in keepers:
            procs.send(pid, signal.SIGSTOP)
        for _ in range(2):  # what was started between two looks is found by the second
            for process in worker.tree():
                procs.send(process.pid, signal.SIGSTOP)
                stopped[process.pid] = None
        yield self._lease * (2 + fault.spread / 2)
        for pid in stopped:
            if pid not in keepers:
                procs.send(pid, signal.SIGCONT)
        yield HEAD_START
        for pid in keepers:
            procs.send(pid, signal.SIGCONT)
        yield AFTERMATH
        self._over(n)
        berth.busy = False
        if not berth.is_running:
            self._fleet.clear(berth)

    def _stop_supervisor(
        self, n: int, berth: Berth, worker: WorkerProcess, fault: Planned
    ) -> Steps:
        """Freeze the supervisor alone; no process that runs handlers may outlive its lease."""
        berth.busy = True
        wardens = {process.pid for process in worker.wardens()}
        below = [process.pid for process in worker.below() if process.pid not in wardens]
        self._tell(n, "stop_supervisor", worker.pid, worker)
        worker.send(signal.SIGSTOP)
        yield self._lease
        for pid in procs.living(below):
            self._survived(pid, "stop_supervisor", worker)
        yield self._lease * (1 + fault.spread / 2)
        worker.send(signal.SIGCONT)
        yield AFTERMATH
        self._over(n)
        berth.busy = False
        if not berth.is_running:
            self._fleet.clear(berth)

    def _crash_server(self, n: int, server: Database) -> Steps:
        """End the server as a crash does, and start it again at once."""
        self._is_away = True
        self._tell(n, "crash_server", server.cluster.pid, None)
        crashed = time.monotonic()
        self._restart = threading.Thread(target=server.cluster.restart, args=("immediate",))
        self._restart.start()
        while self._restart.is_alive():
            yield 0.01
        self.longest_crash = max(self.longest_crash, time.monotonic() - crashed)
        self._over(n)
        self._is_away = False

    def _end_connections(self, n: int, server: Database) -> Steps:
        """End every connection there is to the database: alone it explains nothing."""
        self._tell(n, "end_connections", 0, None)
        self.connections_ended += server.cluster.terminate_backends(server.name)
        self._over(n)
        yield from ()

    def _survived(self, pid: int, fault: str, worker: WorkerProcess) -> None:
        process = procs.look(pid)
        command = process.command if process is not None else ""
        self._ledger.tell("survivor", pid=pid, fault=fault, worker=worker.pid, command=command)
