"""Sets up what a page shows: people, workers, and jobs in any state, written as rows; nothing here waits or works."""

from __future__ import annotations

import math
from contextlib import ExitStack
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from unittest import mock

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import OperationalError
from django.db.models import Sum
from django.utils import timezone

from bulkops import failure_groups, result_files, services
from bulkops.clock import from_now
from bulkops.models import Chunk, Cluster, Event, Job, Outcome, Pace, Turn
from bulkops.states import ENDED, EventKind, JobState
from tests.sample import pictures
from ticketing import demo

if TYPE_CHECKING:
    from playwright.sync_api import Page

CURSOR = "django.db.backends.base.base.BaseDatabaseWrapper.cursor"
RIGHTS = ("ticketing.change_ticket", "ticketing.change_order", "bulkops_http.call_http_api")


class Stage:
    """What a scene may ask for; `close` takes away what does not lie in the database."""

    def __init__(self) -> None:
        self.owner = self.person("maria.keller")
        self.cluster = Cluster.objects.create(name="here", alive_until=from_now(3600), workers=2, queues=["default"])
        self._undo = ExitStack()

    def close(self) -> None:
        self._undo.close()

    def person(self, name: str, *, rights: tuple[str, ...] = RIGHTS, superuser: bool = False) -> Any:
        """A user with those permissions, whose password is “secret”."""
        user = get_user_model().objects.create_user(name, password="secret")
        user.is_staff = user.is_superuser = superuser
        user.save()
        for right in rights:
            app, codename = right.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        return user

    def no_worker(self) -> None:
        """As where the last cluster stopped long ago."""
        Cluster.objects.all().delete()

    def tickets(self) -> None:
        """Those of the demo."""
        demo.load()

    def patch(self, target: str, **how: Any) -> None:
        """Replace something until the scene is over."""
        self._undo.enter_context(mock.patch(target, **how))

    def database_away(self, _page: Page | None = None) -> None:
        """From now on nothing reaches the database."""
        self.patch(CURSOR, side_effect=OperationalError("server closed the connection unexpectedly"))

    def job(
        self,
        state: JobState,
        *,
        operation: str = "reprice-tickets",
        items: int | list[Any] = 40,
        total: int | None = None,
        owner: Any = None,
        ago: float = 90,
        took: float | None = None,
        params: dict[str, Any] | None = None,
        counts: dict[str, int] | None = None,
        outcomes: dict[str, list[Any]] | None = None,
        **fields: Any,
    ) -> Job:
        """A job in that state, begun so many seconds `ago`.

        `total` and `counts` are what its chunk counts, however few items it has; `outcomes` are its first items':
        a message or a result each.
        """
        given = [2300 + number for number in range(1, items + 1)] if isinstance(items, int) else items
        if params is None:
            params = {"cents": 250} if operation == "reprice-tickets" else {}
        if state != JobState.QUEUED:
            # Whoever has an active job already gets no second one.
            Job.objects.filter(owner=owner or self.owner, state__in=set(JobState) - ENDED).update(
                state=JobState.CANCELLED, slot=None
            )
        job = services.submit(user=owner or self.owner, operation=operation, items=given, params=params)
        self._record(job, outcomes or {})
        self._count(job, total or len(given), counts or self._counted(outcomes or {}), state)
        now = timezone.now()
        created = now - timedelta(seconds=ago)
        started = None if state in {JobState.PREPARING, JobState.QUEUED} else created + timedelta(seconds=0.4)
        finished = (started or created) + timedelta(seconds=took or ago / 2) if state in ENDED else None
        fields = {"created_at": created, "started_at": started, "finished_at": finished} | fields
        if state in ENDED:
            fields["slot"] = None
            Turn.objects.filter(job=job).update(due=None)
        Job.objects.filter(pk=job.pk).update(state=state, total=total or len(given), **fields)
        job.refresh_from_db()
        self._tell(job)
        return job

    @staticmethod
    def _counted(outcomes: dict[str, list[Any]]) -> dict[str, int]:
        return {state: len(told) for state, told in outcomes.items()}

    @staticmethod
    def _count(job: Job, total: int, counts: dict[str, int], state: JobState) -> None:
        done = state in ENDED and sum(counts.values()) == total
        Chunk.objects.filter(job=job).update(size=total, cursor=sum(counts.values()), finished=done, **counts)

    @staticmethod
    def _record(job: Job, outcomes: dict[str, list[Any]]) -> None:
        position = 0
        for state, told in outcomes.items():
            for one in told:
                words = {"message": one} if isinstance(one, str) else {"result": one}
                Outcome.objects.create(
                    job=job, position=position, state=state, finished_at=timezone.now(), attempt=1, **words
                )
                if state == "failed" and "message" in words:
                    group = failure_groups.count(Chunk.objects.get(job=job).pk, position, "", words["message"])
                    Outcome.objects.filter(job=job, position=position).update(fingerprint=group)
                position += 1

    def _tell(self, job: Job) -> None:
        """The trail that such a job would have."""
        steps: list[tuple[str, Any, Any]] = []
        if job.started_at:
            steps.append((JobState.RUNNING, job.started_at, None))
        if job.state not in {JobState.RUNNING, JobState.QUEUED, JobState.PREPARING}:
            steps.append((job.state, job.finished_at or timezone.now(), self.owner if not job.finished_at else None))
        before = JobState.QUEUED
        Event.objects.filter(job=job).update(at=job.created_at)
        for state, at, actor in steps:
            Event.objects.create(
                job=job, kind=EventKind.STATE_CHANGED, from_state=before, to_state=state, at=at, actor=actor
            )
            before = JobState(state)

    @staticmethod
    def paced(job: Job) -> Job:
        """With the samples of its whole course, which was sometimes faster and sometimes slower."""
        seconds = ((job.finished_at or timezone.now()) - job.started_at).total_seconds()
        processed = Chunk.objects.filter(job=job).aggregate(n=Sum("cursor"))["n"]
        speeds = [1 + 0.25 * math.sin(n / 3) for n in range(40)]
        course = [0.0, *accumulate(speeds)]
        Pace.objects.create(
            job=job,
            seconds=[seconds * n / len(speeds) for n in range(len(course))],
            items=[round(processed * part / course[-1]) for part in course],
            sampled_at=job.finished_at or timezone.now(),
        )
        return job

    def held(self, job: Job) -> Job:
        """With an item in a worker's hand."""
        Chunk.objects.filter(job=job).update(holder=self.cluster, worker=1)
        Turn.objects.filter(job=job).update(holder=self.cluster)
        return job

    def pictures(self, job: Job, positions: int) -> None:
        """Give its first items a thumbnail each, and a text."""
        for position in range(positions):
            image = pictures.encoded(pictures.picture(320, 240).rotate(position * 30), "JPEG")
            files = [
                result_files.save(job.pk, position, f"IMG_{4711 + position}.jpg", image, "image/jpeg", thumbnail=True),
                result_files.save(job.pk, position, f"IMG_{4711 + position}.txt", b"words", "text/plain"),
            ]
            Outcome.objects.filter(job=job, position=position).update(result={result_files.KEY: files})
