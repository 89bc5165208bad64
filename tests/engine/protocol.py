"""The protocol as a machine of moves: what hypothesis may do next, what has to hold after each, and at the end."""

from __future__ import annotations

import functools
import itertools
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from uuid import UUID

from django.db import connection
from django_q.models import OrmQ
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bulkops import manifests, services
from bulkops.exceptions import ActiveJobExists, BulkopsError, NotAllowedNow, NotPermitted
from bulkops.models import Job, Manifest
from bulkops.states import ENDED, JobState
from tests.engine import stepwise
from tests.engine.acted import BECOMES, DELETE, OPERATIONS, Stepwise, ledger
from tests.engine.promises import Promises, Snapshot
from tests.engine.stage import Player, Stage
from tests.engine.stepwise import Host, Person, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


MOST_ITEMS = 6
MOST_ROUNDS = 40
MOST_STEPS_TO_AN_ITEM = 12
FOREVER_SECONDS = 1e6
"""What waits for it waits for `time_passes`, which moves every due time into the past: no real clock decides."""

INDEX, USER = st.integers(0, 2), st.sampled_from([0, 0, 0, 1])
MANY = st.integers(10, 50)
ITEM = st.sampled_from([*["good"] * 4, *BECOMES])

JOB: dict[str, Any] = {
    "operation": st.sampled_from(OPERATIONS),
    "items": st.sampled_from([4, 2, 0]).flatmap(lambda fewest: st.lists(ITEM, min_size=fewest, max_size=MOST_ITEMS)),
    "collects": st.sampled_from([False, False, True]),
    "parallelism": st.sampled_from([2, 2, 1]),
    "ending": st.sampled_from(["", "", "", "broken"]),
}


class Move(NamedTuple):
    """One of the workers and leaders goes on; `inside` its transactions too, in small steps."""

    who: int
    steps: int
    inside: bool


MOVES = st.lists(
    st.builds(
        Move,
        who=st.sampled_from([0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4]),
        steps=st.sampled_from([1, 2, 4, 8, 16, 32]),
        inside=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=6,
)


def happens(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule after which some work is done: hypothesis plays only some of the rules in an example, but work always."""

    def decorate(what: Callable[..., None]) -> Any:
        @functools.wraps(what)
        def before_some_moves(self: Protocol, moves: list[Move], **given: Any) -> None:
            what(self, **given)
            self.go_on(moves)

        return rule(moves=MOVES, **arguments)(before_some_moves)

    return decorate


class Protocol(RuleBasedStateMachine):
    """Two users with a job each, two clusters with three workers, and whatever else may happen."""

    users: list[Any]
    claims: stepwise.Claims
    stage: Stage
    configure: Any
    ids: Iterator[UUID]
    figures: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.figures["examples"] += 1
        ledger.had.clear()
        self.claims.clear()
        self.promises = Promises(ledger)
        self.tags = itertools.count()
        Protocol.ids = (UUID(int=number) for number in itertools.count(1))
        self.hosts: list[Host] = []
        self.people: list[Person] = []
        self.now = Snapshot()
        self.harmed = False
        """Whether anybody was killed or taken for dead, so that an item may end otherwise than by itself."""
        self.pressed: dict[int, tuple[dict[str, Any], Any]] = {}

    @initialize(seconds=st.sampled_from([0, FOREVER_SECONDS]), **JOB)
    def begin(self, seconds: float, **job: Any) -> None:
        self.configure({"chunk_items": 2, "slice_seconds": seconds, "turn_grace_seconds": 0})
        self.hosts = [Host(self.stage, 2), Host(self.stage, 1)]
        self.submit(0, **job)

    @property
    def workers(self) -> list[Worker]:
        return [worker for host in self.hosts for worker in host.workers]

    def host_of(self, worker: Worker) -> Host:
        return next(host for host in self.hosts if worker in host.workers)

    def job(self, index: int) -> Job:
        """One of the last jobs."""
        found = list(Job.objects.order_by("-created_at")[:4])
        return found[index % len(found)]

    # -- the machines

    def advance(self, player: Player, steps: int, *, inside: bool = False) -> None:
        """So many steps, or until it waits for work or for a lock."""
        for _ in range(steps):
            self.figures["moves"] += 1
            player.step(inside=inside)
            if player.dead:
                self.harmed = True
                self.host_of(player).crew.bury(player)
            if player.dead or player.waits or getattr(player, "idle", False):
                return

    def go_on(self, moves: list[Move]) -> None:
        """Three workers and two leaders."""
        for move in moves:
            everybody: list[Player] = [*self.workers, *self.hosts]
            self.advance(everybody[move.who], move.steps, inside=move.inside)

    @happens()
    def nothing_else_happens(self) -> None:
        """Work goes on."""

    @happens(index=INDEX, steps=MANY)
    def a_worker_goes_far(self, index: int, steps: int) -> None:
        self.advance(self.workers[index], steps)

    @happens(index=INDEX)
    def a_worker_goes_on_until_an_item_is_in_hand(self, index: int) -> None:
        worker = self.workers[index]
        for _ in range(MOST_STEPS_TO_AN_ITEM):
            self.advance(worker, 1)
            if worker.dead or worker.in_hand or worker.idle or worker.waits:
                return

    @precondition(lambda self: not self.stage.locked)
    @happens(index=INDEX)
    def a_leader_has_a_round(self, index: int) -> None:
        self.hosts[index % 2].round()

    @happens(index=INDEX, why=st.sampled_from(["it crashed", "its item overstayed", "by accident"]))
    def a_worker_is_killed(self, index: int, why: str) -> None:
        self.harmed = True
        worker = self.workers[index]
        crew = self.host_of(worker).crew
        crew.bury(worker, blamed=why != "by accident", overstayed=why == "its item overstayed")

    @happens(index=INDEX, what=st.sampled_from(["draining", "ignorant", "dies_at_the_end"]))
    def a_worker_is_no_longer_what_it_was(self, index: int, what: str) -> None:
        setattr(self.workers[index], what, not getattr(self.workers[index], what))

    @happens(index=INDEX, lost=st.booleans())
    def a_host_is_lost_or_thought_dead(self, index: int, lost: bool) -> None:
        self.harmed = True
        host = self.hosts[index % 2]
        if lost:
            host.be_lost()
            self.hosts[index % 2] = Host(self.stage, len(host.workers))
        else:
            host.be_thought_dead()

    # -- the queue and the time

    @precondition(lambda self: self.now.messages and not self.stage.locked)
    @happens(index=INDEX, doubled=st.booleans())
    def a_message_is_lost_or_doubled(self, index: int, doubled: bool) -> None:
        messages = list(OrmQ.objects.order_by("pk"))
        one = messages[index % len(messages)]
        if doubled:
            OrmQ.objects.create(key=one.key, payload=one.payload, lock=one.lock)
        else:
            one.delete()

    @precondition(lambda self: not self.stage.locked)
    @happens()
    def time_passes(self) -> None:
        """So much that whatever waited is due."""
        self.let_time_pass()

    @staticmethod
    def let_time_pass() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE bulkops_turn SET due = due - interval '1 day' WHERE due IS NOT NULL;"
                "UPDATE bulkops_chunk SET due = due - interval '1 day' WHERE due IS NOT NULL;"
                "UPDATE bulkops_outcome SET due = due - interval '1 day' WHERE due IS NOT NULL;"
                "UPDATE bulkops_job SET operation_missing_since = operation_missing_since - interval '1 day'"
                " WHERE operation_missing_since IS NOT NULL;"
                "UPDATE django_q_ormq SET lock = lock - interval '1 day'"
            )

    # -- people

    @happens(who=USER, **JOB)
    def somebody_submits(self, who: int, **job: Any) -> None:
        self.submit(who, **job)

    def submit(
        self, who: int, operation: type[Stepwise], items: list, collects: bool, parallelism: int, ending: str
    ) -> None:
        user = self.users[who]
        tag = str(next(self.tags))
        what: dict[str, Any] = {
            "user": user,
            "operation": operation.name,
            "params": {"tag": tag, "collected": ",".join(items), "ending": ending},
            "items": None if collects else items,
            "parallelism": parallelism,
            "idempotency_key": f"key-{tag}",
        }

        def press() -> None:
            refused: BulkopsError | None = None
            try:
                self.pressed[who] = what, services.submit(**what).pk
            except (NotPermitted, ActiveJobExists) as error:
                refused = error
            assert user.is_active or isinstance(refused, NotPermitted)

        self.press(press)

    @precondition(lambda self: self.pressed)
    @happens(who=USER)
    def somebody_presses_again(self, who: int) -> None:
        what, pk = self.pressed[who if who in self.pressed else 1 - who]

        def press() -> None:
            try:
                assert services.submit(**what).pk == pk
            except NotPermitted:
                assert not what["user"].is_active

        self.press(press)

    def press(self, press: Callable[[], Any]) -> None:
        """At once, if nobody has anything locked; else step by step."""

        def try_it() -> None:
            try:
                press()
            except (NotAllowedNow, NotPermitted, ActiveJobExists):
                self.figures["refused"] += 1

        if not self.stage.locked:
            try_it()
        elif not self.stage.waited_for:
            self.people.append(Person(self.stage, try_it))
            self.wait_on(self.people[-1])

    @precondition(lambda self: self.people)
    @happens(index=INDEX)
    def somebody_waits_on(self, index: int) -> None:
        self.wait_on(self.people[index % len(self.people)])

    def wait_on(self, person: Person) -> None:
        self.advance(person, 6)
        self.people = [one for one in self.people if not one.over]

    @precondition(lambda self: self.now.jobs)
    @happens(index=INDEX, button=st.sampled_from(["pause", "pause", "resume", "resume", "resume", "cancel"]))
    def somebody_presses(self, index: int, button: str) -> None:
        job = self.job(index)
        self.press(lambda: getattr(services, button)(job=job, actor=None))

    @precondition(lambda self: any(job["state"] in ENDED for job in self.now.jobs.values()))
    @happens(index=INDEX, items=st.sampled_from(["failed", "unprocessed", "in_doubt"]))
    def somebody_retries(self, index: int, items: str) -> None:
        ended = list(Job.objects.ended().order_by("-created_at")[:4])
        job = ended[index % len(ended)]
        self.press(lambda: services.retry(job=job, actor=None, items=items))

    @precondition(lambda self: any(row["state"] == "in_doubt" for row in self.now.outcomes.values()))
    @happens(index=INDEX, decision=st.sampled_from(["done", "failed"]))
    def somebody_decides(self, index: int, decision: str) -> None:
        doubts = sorted(place for place, row in self.now.outcomes.items() if row["state"] == "in_doubt")
        pk, position = doubts[index % len(doubts)]
        job = Job.objects.get(pk=pk)
        self.press(lambda: services.decide(job=job, position=position, decision=decision, actor=None))

    @precondition(lambda self: not self.stage.locked)
    @happens(who=USER)
    def an_account_is_closed_or_opened(self, who: int) -> None:
        self.users[who].is_active = not self.users[who].is_active
        self.users[who].save(update_fields=["is_active"])

    # -- what must be true

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.figures["steps"] += 1
        self.now = self.promises.check()
        for claimed in (self.claims.turns, self.claims.chunks):
            assert len(set(claimed)) == len(claimed), "two hold the same with the same number"
        assert not self.claims.stale, self.claims.stale

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None and self.hosts:
                self.nobody_is_stuck()
        finally:
            self.clear()

    def nobody_is_stuck(self) -> None:
        """Nothing bad happens any more: every job ends, and nothing is left lying about."""
        for _ in range(MOST_ROUNDS):
            for player in list(self.stage.players):
                if player.locks or player.waits or isinstance(player, Person):
                    self.advance(player, 1)
        assert not self.stage.locked, "they wait for each other"
        for worker in self.workers:
            worker.dies_at_the_end = worker.ignorant = worker.draining = False
        for user in self.users:
            user.is_active = True
            user.save(update_fields=["is_active"])
        for _ in range(MOST_ROUNDS):
            self.everybody_goes_on()
            self.every_promise_is_kept()
            if not self.now.active:
                break
            for job in Job.objects.filter(state=JobState.PAUSED):
                services.resume(job=job, actor=None)
            self.let_time_pass()
        assert not self.now.active, [(job["operation"], job["state"]) for job in self.now.active]
        self.let_time_pass()  # a message that was claimed by one who died is claimed again
        self.everybody_goes_on()
        self.every_promise_is_kept()
        assert not self.now.is_held(), "somebody still holds what nobody needs"
        assert not self.now.messages, "messages are left"
        assert [host.moved for host in self.hosts] == [0, 0], "rescue finds something to do when all is done"
        self.every_item_is_accounted_for()

    def everybody_goes_on(self) -> None:
        for host in self.hosts:
            host.round()
        for worker in self.workers:
            for _ in range(3):
                self.advance(worker, 1000)

    def every_item_is_accounted_for(self) -> None:
        for pk, job in self.now.jobs.items():
            outcomes = {position: row for (of, position), row in self.now.outcomes.items() if of == pk}
            if job["state"] in {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS}:
                assert len(outcomes) == job["total"]
        if self.harmed:
            return
        for (pk, position), row in self.now.outcomes.items():
            given = items_of(pk)[position]
            assert row["state"] in {BECOMES[given], "deferred"} or row["message"].startswith("Decided")

    def clear(self) -> None:
        """Delete what the example left, so that the next one begins with nothing."""
        self.stage.clear()
        for user in self.users:
            if not user.is_active:
                user.is_active = True
                user.save(update_fields=["is_active"])
        with connection.cursor() as cursor:
            cursor.execute(DELETE)


def items_of(job: str) -> list[str]:
    """What its items do, in order."""
    stored = Manifest.objects.filter(job=job).order_by("number").values_list("payload", flat=True)
    return [item for payload in stored for item in manifests.decode(payload)]
