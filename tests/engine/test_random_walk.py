"""A random walk over everything that can happen to small jobs; after each step nothing is lost, doubled or stuck."""

from __future__ import annotations

import random
import time
from collections import Counter
from uuid import UUID

import pytest
from django_q.models import OrmQ

from bulkops import services
from bulkops.engine import chunks, turns
from bulkops.exceptions import ActiveJobExists, NotAllowedNow
from bulkops.models import Chunk, Job, Outcome, Turn
from bulkops.states import ENDED, JobState, OutcomeState
from bulkops.verify import verify
from tests.sample.models import Effect
from tests.sample.operations import Habits
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)

WALKS = 10
STEPS_OF_A_WALK = 70
ITEMS = ("good", "raise", "pass-by", "skip", "never-pass-by", "doubt")
"""What an item does. Of these, only what succeeds may leave its effect."""


class Walk:
    """Two workers and whatever else may happen, one thing after the other."""

    def __init__(self, users: list, seed: int) -> None:
        self.users = users
        self.random = random.Random(seed)
        self.workers = [InProcessWorker(), InProcessWorker()]
        self.said: list[str] = []

    def job(self) -> Job | None:
        return self.random.choice(list(Job.objects.order_by("created_at")) or [None])

    def submit(self) -> None:
        given = [self.random.choice(ITEMS) for _ in range(self.random.randint(0, 5))]
        user, parallelism = self.random.choice(self.users), self.random.randint(1, 2)
        try:
            if self.random.random() < 0.25:
                services.submit(user=user, operation="collecting", params={"how": str(len(given))})
            else:
                services.submit(user=user, operation="habits", items=given, parallelism=parallelism)
        except ActiveJobExists:
            return

    def step(self) -> None:
        self.random.choice(self.workers).step()

    def control(self) -> None:
        job = self.job()
        verb = self.random.choice([services.pause, services.resume, services.resume, services.cancel])
        forced = {"force": True} if verb != services.resume and self.random.random() < 0.3 else {}
        if job is not None:
            try:
                verb(job=job, actor=None, **forced)
            except NotAllowedNow:
                return

    def throttle(self) -> None:
        job = self.job()
        if job is not None:
            try:
                services.set_rate(job=job, rate=self.random.choice([None, 100, 1_000, 100_000]), actor=None)
            except NotAllowedNow:
                return

    def take_and_die(self) -> None:
        """A worker takes a turn, perhaps a chunk, perhaps sees a control come, and is gone."""
        worker = self.workers.pop(self.random.randrange(2))
        task = worker._inbox._claim()
        if task is not None and self.random.random() < 0.8:
            job_id, number, seq = task["args"]
            taken = turns.take(UUID(job_id), number, seq, worker.holder)
            if taken is not None and self.random.random() < 0.7:
                chunks.claim(taken, worker.holder)
        if self.random.random() < 0.5:
            self.control()
        if self.random.random() < 0.5:
            self.throttle()
        worker.die()
        self.workers.append(InProcessWorker())

    def rescue(self) -> None:
        InProcessWorker.rescue()

    def lose_a_message(self) -> None:
        if messages := list(OrmQ.objects.all()):
            self.random.choice(messages).delete()

    def double_a_message(self) -> None:
        if messages := list(OrmQ.objects.all()):
            one = self.random.choice(messages)
            OrmQ.objects.create(key=one.key, payload=one.payload, lock=one.lock)

    def shut_down(self) -> None:
        """A worker is asked to stop, has one last step, and starts again."""
        worker = self.random.choice(self.workers)
        worker.stop = True
        worker.step()
        worker.stop = False

    STEPS = (submit, submit, step, step, step, step, control, take_and_die, rescue, shut_down, throttle)
    RARE = (lose_a_message, double_a_message)

    def go(self) -> None:
        one = self.random.choice(self.STEPS if self.random.random() < 0.9 else self.RARE)
        self.said.append(one.__name__)
        one(self)

    def drain(self) -> None:
        """Resume what is paused, and work until nothing is active."""
        ends = time.monotonic() + 15
        while active := list(Job.objects.active()):
            assert time.monotonic() < ends, [
                (job.state, list(job.turns.values()), list(job.chunks.values())) for job in active
            ]
            for job in active:
                if job.state == JobState.PAUSED:
                    services.resume(job=job, actor=None)
            if self.workers[0].step() is None and self.workers[1].step() is None:
                self.rescue()
                time.sleep(0.005)


def assert_all_is_well(known: set[UUID]) -> None:
    """Of a job that was well when it ended, nothing is asked again before the end of the walk."""
    active = Counter(Job.objects.active().values_list("owner", flat=True))
    assert all(count == 1 for count in active.values())
    for job in Job.objects.exclude(pk__in=known):
        verdict = verify(job.pk)
        assert verdict is not None
        assert verdict.agrees, (job.state, verdict.disagreements)
        if job.state in ENDED | {JobState.PAUSED}:
            assert not Turn.objects.filter(job=job, holder__isnull=False).exists()
            assert not Chunk.objects.filter(job=job, holder__isnull=False).exists()
        if job.state in ENDED:
            known.add(job.pk)
    assert Effect.objects.count() == Outcome.objects.filter(state=OutcomeState.SUCCEEDED).count()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(WALKS))
def test_whatever_happens_nothing_is_lost_doubled_or_stuck(owner, stranger, settings, monkeypatch, seed):
    rnd = random.Random(seed)
    settings.BULKOPS = {
        "chunk_items": rnd.choice([1, 2, 3]),
        "slice_seconds": rnd.choice([0, 0, 3]),
        "turn_grace_seconds": 0,
    }
    monkeypatch.setattr(Habits, "parallelism", 2)
    monkeypatch.setattr(Habits, "backoff", (0.001, 0.002))
    walk = Walk([owner, stranger], seed)
    known: set[UUID] = set()
    for _ in range(STEPS_OF_A_WALK):
        walk.go()
        assert_all_is_well(known)
    walk.drain()
    assert_all_is_well(set())
    for job in Job.objects.exclude(state=JobState.CANCELLED):
        assert Outcome.objects.filter(job=job).count() == job.total
