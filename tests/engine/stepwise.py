"""Workers and leaders that stand still before each transaction, so that a test says who goes on and how far.

Each is a thread with a session of its own which runs the real code; only one thread moves at a time, and every order of
their transactions can be played and played again. They stand still between transactions, where they keep nobody
waiting, wherever an operation's own code calls `stand_still`, and in small steps before each statement and COMMIT:
whoever then needs a lock that one of them has is seen to wait, and goes on when it is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

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
from tests.engine.stage import Killed, Player, Stage, present_player

if TYPE_CHECKING:
    from collections.abc import Callable


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
        player = present_player()
        if not isinstance(player, Worker):
            return
        player.in_hand = in_hand
        if in_hand.doing is hand.Doing.FINISH and player.dies_at_the_end:
            player.dead = True
            raise Killed

    def clear(self) -> None:
        player = present_player()
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

    def execute_stepwise(statements: ItemStatements, sql: str, values: tuple[Any, ...]) -> bool:
        if (player := present_player()) is not None:
            player.pause_before_a_statement()
        stop = execute(statements, sql, values)
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
        if getattr(present_player(), "ignorant", False):
            raise UnknownOperation(name)
        return get(name)

    monkeypatch.setattr(ItemStatements, "_execute", execute_stepwise)
    monkeypatch.setattr(turns, "take", take_noting)
    monkeypatch.setattr(chunks, "claim", claim_noting)
    monkeypatch.setattr(registry, "get", get_unless_ignorant)
    monkeypatch.setattr(hand, "_note", _Notes())
    return claims
