"""Workers and leaders that stand still before each transaction, so that a test says who goes on and how far.

Each is a thread with a session of its own which runs the real code; only one thread moves at a time, and every order of
their transactions can be played and played again. They stand still between transactions, where they keep nobody
waiting, wherever an operation's own code calls `stand_still`, and in small steps before each statement and COMMIT:
whoever then needs a lock that one of them has is seen to wait, and goes on when it is free.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, connections
from psycopg2 import extensions

from bulkops import dispatch, registry
from bulkops.clock import from_now
from bulkops.cluster.inbox import Inbox
from bulkops.cluster.leader import Leader
from bulkops.cluster.workers import Dead
from bulkops.engine import chunks, hand, rescue, runner, turns
from bulkops.engine.holder import Holder
from bulkops.engine.statements import ItemStatements
from bulkops.exceptions import UnknownOperation
from bulkops.models import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 60
"""For one step; only a thread that waits for a lock which nobody will release takes so long."""

LOOK_SECONDS = 0.005
"""How soon it is asked whether one that does not come to a stand waits for a lock."""

_here = threading.local()


class Killed(BaseException):
    """The process is gone: nothing of what unwinds reaches the database."""


def stand_still() -> None:
    """Called in an author's code: the worker that runs it may be left here, or killed."""
    if (player := _player()) is not None:
        player.pause()


def _player() -> Player | None:
    return getattr(_here, "player", None)


class Stage:
    """Where players stand: lends them database sessions, and sees who waits for whom."""

    def __init__(self) -> None:
        self._free: list[Any] = []
        self._looking: Any = None
        self.players: list[Player] = []

    @property
    def locked(self) -> bool:
        """Whether somebody stands still inside a transaction, so that others may have to wait."""
        return any(player.locks or player.waits for player in self.players)

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits."""
        return any(player.waits for player in self.players)

    def lend(self, wrapper: Any) -> Any:
        """A session outside any transaction, whose commits do not wait for the disk."""
        return self._free.pop() if self._free else self._open(wrapper)

    def _open(self, wrapper: Any) -> Any:
        driver = type(wrapper).get_new_connection(wrapper, wrapper.get_connection_params())
        driver.autocommit = True
        with driver.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off")
        return driver

    def give_back(self, driver: Any) -> None:
        """A session costs more than a slice, so it is used again. What it had begun is rolled back."""
        if driver is not None and not driver.closed:
            driver.rollback()
            self._free.append(driver)

    def _ask(self, question: str, pid: int) -> Any:
        if self._looking is None:
            self._looking = self._open(connections["default"])
        with self._looking.cursor() as cursor:
            cursor.execute(question, [pid])
            return cursor.fetchone()[0]

    def waits(self, driver: Any) -> bool:
        """Whether a session waits for a lock that another one has."""
        return driver is not None and self._ask("SELECT cardinality(pg_blocking_pids(%s)) > 0", driver.info.backend_pid)

    def cancel(self, driver: Any) -> None:
        """End what the session waits for."""
        self._ask("SELECT pg_cancel_backend(%s)", driver.info.backend_pid)

    def settle(self) -> None:
        """Wait until each player stands still, or waits for a lock."""
        for player in list(self.players):
            if player.waits:
                player.stop()

    def leave(self, player: Player) -> None:
        """It is over, or dead."""
        if player in self.players:
            self.players.remove(player)

    def clear(self) -> None:
        """Everybody goes home, those that wait first."""
        for player in self.players:
            player.dead = True
        for player in sorted(self.players, key=lambda player: not player.waits):
            player.die()

    def close(self) -> None:
        """End all sessions."""
        for driver in (*self._free, self._looking):
            if driver is not None:
                driver.close()
        self._free.clear()
        self._looking = None


class Player:
    """Runs `play` in a thread, a step at a time."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.players.append(self)
        self.dead = False
        self.over = False
        self.locks = False
        """Stands still inside a transaction."""
        self.waits = False
        """Waits for a lock of one that stands inside a transaction."""
        self.error: BaseException | None = None
        self._inside = False
        self._thread: threading.Thread | None = None
        self._go = threading.Semaphore(0)
        self._stood = threading.Semaphore(0)
        self._wrapper: Any = None
        self._driver: Any = None

    def play(self) -> None:
        """What it does."""
        raise NotImplementedError

    def step(self, *, inside: bool = False) -> None:
        """Go on until before the next transaction; if `inside`, before the next statement or COMMIT.

        While one waits, nobody begins a transaction: which of two that wait for the same lock gets it is not the
        same in every play.
        """
        if self.over or (self.stage.waited_for and not self.locks and not self.waits):
            return
        if not self.waits:
            self._inside = inside
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            else:
                self._go.release()
            self.stop()
        self.stage.settle()

    def stop(self) -> None:
        """Wait until it stands still, or waits itself."""
        others = any(player.locks or player.waits for player in self.stage.players if player is not self)
        ends = time.monotonic() + PATIENCE_SECONDS
        while not self._stood.acquire(timeout=LOOK_SECONDS if others else PATIENCE_SECONDS):
            if self.stage.waits(self._driver):
                self.waits = self._inside = True
                return
            assert time.monotonic() < ends, "it does not come to a stand"
        self.waits = False
        if self.over:
            self.locks = False
            self.stage.leave(self)
        if self.error is not None and not self.dead:
            raise self.error

    def die(self) -> None:
        """As by SIGKILL: its transaction is rolled back, and it writes nothing more."""
        self.dead = True
        self.stage.leave(self)
        if self._thread is None or self.over:
            return
        if self.waits:
            self.stage.cancel(self._driver)
        else:
            driver, self._driver = self._driver, None
            self._wrapper.connection = None
            self.stage.give_back(driver)
            self._go.release()
        self._thread.join(PATIENCE_SECONDS)
        assert self.over, "it does not die"
        self.stage.settle()

    def pause(self, *, locks: bool = False) -> None:
        """Stand still here until it is told to go on."""
        if not self.dead:
            self.locks = locks
            self._stood.release()
            self._go.acquire()
            self.locks = False
        if self.dead:
            raise Killed

    def pause_before_a_statement(self) -> None:
        """Stand still if it would begin a transaction, or where the steps are small."""
        begins = self.dead or connection.connection.status == extensions.STATUS_READY
        if begins or self._inside:
            self.pause(locks=not begins)

    def _run(self) -> None:
        _here.player = self
        wrapper = self._wrapper = connections["default"]
        wrapper.get_new_connection = self._connect
        commit = wrapper._commit

        def commit_stepwise() -> None:
            if self.dead or (self._inside and wrapper.connection.status != extensions.STATUS_READY):
                self.pause(locks=True)
            commit()

        wrapper._commit = commit_stepwise
        try:
            with wrapper.execute_wrapper(self._before):
                self.play()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            driver, self._driver = self._driver, None
            wrapper.connection = None
            self.stage.give_back(driver)
            self.over = True
            self._stood.release()

    def _connect(self, _: Any) -> Any:
        if self.dead:
            raise Killed
        self._driver = self.stage.lend(self._wrapper)
        return self._driver

    def _before(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.pause_before_a_statement()
        return execute(sql, params, many, context)


class Person(Player):
    """Presses a button."""

    def __init__(self, stage: Stage, press: Callable[[], None]) -> None:
        super().__init__(stage)
        self._press = press

    def play(self) -> None:
        self._press()


class Worker(Player):
    """Claims messages and runs slices, as a worker process does."""

    def __init__(self, stage: Stage, cluster: Cluster, number: int) -> None:
        super().__init__(stage)
        self.number = number
        self.draining = False
        self.ignorant = False
        """Runs code that knows no operation, as during a deploy."""
        self.dies_at_the_end = False
        """Is killed as soon as an operation's `finish` runs; that holds locks, so it cannot be left there."""
        self.in_hand: hand.InHand | None = None
        self.idle = False
        self.holder = Holder(cluster.pk, number, draining=lambda: self.draining)
        self._inbox = Inbox(dispatch.queue_keys(["default"]), lambda: False)

    def play(self) -> None:
        while True:
            task: Any = self._inbox._claim()
            self.idle = task is None
            if task is not None:
                job_id, number, seq = task["args"]
                runner.run_slice(UUID(job_id), number, seq, self.holder)
                dispatch.withdraw([task["ack_id"]])
                self.draining = False  # one that was asked to stop ends here, and another begins


class Crew:
    """A cluster's workers, as its leader knows them."""

    def __init__(self, stage: Stage, cluster: Cluster, count: int) -> None:
        self.stage = stage
        self.cluster = cluster
        self.dead: list[Dead] = []
        self.workers: list[Worker] = []
        self._numbers = 0
        for _ in range(count):
            self._spawn()

    @property
    def living(self) -> list[int]:
        """Alive, or dead and not recorded yet."""
        return [one.number for one in (*self.workers, *self.dead)]

    def bury(self, worker: Worker, *, blamed: bool = True, overstayed: bool = False) -> None:
        """Its process is gone, for which the item in hand may be to blame; another takes its place."""
        worker.die()
        self.workers.remove(worker)
        in_hand = worker.in_hand if blamed else None
        self.dead.append(Dead(worker.number, in_hand, timed_out=overstayed and in_hand is not None))
        self._spawn()

    def _spawn(self) -> None:
        self._numbers += 1
        self.workers.append(Worker(self.stage, self.cluster, self._numbers))


class Host(Player):
    """A cluster's leader, who looks after its workers in rounds; the real one but for the processes."""

    def __init__(self, stage: Stage, workers: int) -> None:
        super().__init__(stage)
        self.leader = Leader(workers=1, queues=["default"])
        self.leader._register()
        self.cluster = self.leader.cluster
        self.rounds = 0
        self.moved = 0
        """Jobs that the last round moved on."""
        self.crew = Crew(stage, self.cluster, workers)
        self.leader.workers = self.crew  # type: ignore[assignment]

    @property
    def workers(self) -> list[Worker]:
        """Those that live, or are frozen."""
        return self.crew.workers

    def play(self) -> None:
        while True:
            self.leader._renew()
            self.leader._record_dead()
            self.moved = rescue.rescue(cluster=self.cluster, living=self.crew.living)
            self.rounds += 1

    def round(self) -> None:
        """To the end of this round and through a whole one."""
        ends = self.rounds + 2
        for _ in range(1000):
            if self.rounds >= ends:
                return
            self.step()
        raise AssertionError("the leader's round does not end")

    def be_thought_dead(self) -> None:
        """Its leader has not been heard of in time, and may come back."""
        Cluster.objects.filter(pk=self.cluster.pk).update(alive_until=from_now(-1))

    def be_lost(self) -> None:
        """All of it is gone for good."""
        self.be_thought_dead()
        for one in (*self.workers, self):
            one.die()


class _Notes:
    """What each worker has in hand, where its leader would read it."""

    def write(self, in_hand: hand.InHand) -> None:
        player = _player()
        if not isinstance(player, Worker):
            return
        player.in_hand = in_hand
        if in_hand.doing is hand.Doing.FINISH and player.dies_at_the_end:
            player.dead = True
            raise Killed

    def clear(self) -> None:
        player = _player()
        if isinstance(player, Worker) and not player.dead:
            player.in_hand = None


class Claims:
    """Every turn taken and every chunk claimed, with the number that is good for one use only."""

    def __init__(self) -> None:
        self.turns: list[tuple] = []
        self.chunks: list[tuple] = []
        self.stale: list[str] = []
        """Items that were recorded by one from whom the chunk had been taken."""

    def clear(self) -> None:
        """A new example."""
        for kept in (self.turns, self.chunks, self.stale):
            kept.clear()

    def recorded(self, chunk: int, epoch: int) -> None:
        """An item's statement went through, in the session's open transaction or just now."""
        with connection.connection.cursor() as cursor:
            cursor.execute("SELECT epoch FROM bulkops_chunk WHERE id = %s", [chunk])
            now = cursor.fetchone()[0]
        if now != epoch:
            self.stale.append(f"chunk {chunk}, epoch {epoch} where it was {now}")


def install(monkeypatch: Any) -> Claims:
    """Let the engine stand still for players, and write down what they claim."""
    claims = Claims()
    execute, take, claim, get = ItemStatements._execute, turns.take, chunks.claim, registry.get

    def execute_stepwise(sql: str, values: tuple[Any, ...]) -> bool:
        if (player := _player()) is not None:
            player.pause_before_a_statement()
        stop = execute(sql, values)
        if isinstance(player, Worker):
            claims.recorded(values[0], values[1])
        return stop

    def take_noting(*args: Any) -> Any:
        taken = take(*args)
        if taken is not None:
            claims.turns.append((taken.job_id, taken.number, taken.seq))
        return taken

    def claim_noting(*args: Any) -> Any:
        claimed = claim(*args)
        if claimed is not None:
            claims.chunks.append((claimed.chunk_id, claimed.epoch))
        return claimed

    def get_unless_ignorant(name: str) -> Any:
        if getattr(_player(), "ignorant", False):
            raise UnknownOperation(name)
        return get(name)

    monkeypatch.setattr(ItemStatements, "_execute", staticmethod(execute_stepwise))
    monkeypatch.setattr(turns, "take", take_noting)
    monkeypatch.setattr(chunks, "claim", claim_noting)
    monkeypatch.setattr(registry, "get", get_unless_ignorant)
    monkeypatch.setattr(hand, "_note", _Notes())
    return claims
