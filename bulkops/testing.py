"""Runs an operation in an author's tests: a real job, worked to its end in the test's own process, without a cluster.

Transactions, fences, outcomes and the end are production's, since the engine does the work. What is not there: another
process. So an item that ends its process, cuts its connection or overstays `item_timeout_seconds` is not survived, and
workers at the same time are worked one after the other. Speed limits are lifted, and the wait before another attempt
is cut short. Needs nothing of pytest.
"""

from __future__ import annotations

import datetime as dt
import io
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models, transaction

from bulkops import holds, manifests, permits, progress, registry, services, transitions, uploaded_files
from bulkops.clock import ClockTimestamp, from_now
from bulkops.engine import runner
from bulkops.engine.holder import Holder
from bulkops.exceptions import CannotRun, NeedsTransactions, OperationAlreadyRegistered
from bulkops.models import Chunk, Cluster, Event, Job, Manifest, Outcome, Turn
from bulkops.operation import Operation
from bulkops.states import JobState, OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ALIVE_SECONDS = 24 * 3600.0
"""Longer than somebody stands in a debugger."""


@dataclass(frozen=True, kw_only=True)
class ItemOutcome:
    """What became of one item; items that were never tried have none."""

    position: int
    item: Any
    state: str
    """“succeeded”, “skipped”, “failed”, “in_doubt”, or “deferred” in a job that was stopped."""
    result: Any = None
    error_code: str = ""
    """The name of the exception's class, or the `code` of one of ours."""
    message: str = ""
    """The error, or the reason for skipping, in words."""
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of a job."""

    job: Job
    outcomes: list[ItemOutcome]
    """In the order of the items."""
    events: list[Event]
    """The audit trail, oldest first."""
    total: int | None
    """Number of items; None where they could not be collected."""
    succeeded: int
    skipped: int
    failed: int
    in_doubt: int

    @property
    def state(self) -> str:
        """“completed”, “completed_with_errors”, “failed”, “cancelled” or “paused”."""
        return self.job.state

    @property
    def results(self) -> list[Any]:
        """What `process` returned, item by item; None for one that did not succeed."""
        return [outcome.result for outcome in self.outcomes]

    @property
    def result(self) -> Any:
        """What `finish` returned."""
        return self.job.result

    @property
    def message(self) -> str:
        """The last `context.message`."""
        return self.job.message

    @property
    def error(self) -> str:
        """Why the job itself failed, in words."""
        return self.job.error


def run(
    operation: str | type[Operation],
    items: Iterable[Any] | None = None,
    params: dict[str, Any] | None = None,
    *,
    user: Any = None,
    limit: int | None = None,
    parallelism: int | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Run:
    """Submit a job and work it in this process until it has ended or is paused.

    `operation` is a name, or a class, which is registered for the time of the call unless it is already. `items` and
    `params` are as for `bulkops.submit`; None takes the operation's own items. `files`, contents by name, are the items
    of one that takes files. Without a `user`, one is made who holds the operation's permission. Commits as production
    does, so what was written stays until the test's database is emptied, and files until its storage is.

    Raises NeedsTransactions inside an open transaction, and what `submit` raises: UnknownOperation, NotPermitted,
    InvalidParams, InvalidItems, InvalidSubmission, ActiveJobExists; for a class also OperationMisdeclared and
    OperationAlreadyRegistered.
    """
    if connection.in_atomic_block:
        raise NeedsTransactions
    with _registered(operation) as known:
        what: dict[str, Any] = {"operation": known.name, "params": params, "limit": limit, "parallelism": parallelism}
        what["user"] = make_user(known.permission) if user is None else user
        job = services.submit(items=items, **what) if files is None else _submit_files(files, what)
        with Worker() as worker:
            worker.work(job)
    return _run_of(job)


def _submit_files(files: Mapping[str, bytes], what: dict[str, Any]) -> Job:
    batch = uploaded_files.Batch()
    try:
        for name, content in files.items():
            batch.add(name, io.BytesIO(content))
        return services.submit(items=batch.items, upload=batch.id, **what)
    except BaseException:  # raised again; no file of a refused job stays
        uploaded_files.drop(batch.id)
        raise


@dataclass
class Worker:
    """A worker in this process, of a cluster that counts as living; as a context manager, it leaves no trace."""

    name: str = "bulkops.testing"
    number: int = 1
    alive_seconds: float = ALIVE_SECONDS
    stop: bool = False
    """Set to True, it is a worker that was asked to shut down."""
    cluster: Cluster = field(init=False)
    holder: Holder = field(init=False)

    def __post_init__(self) -> None:
        self.cluster = Cluster.objects.create(
            name=self.name, alive_until=from_now(self.alive_seconds), workers=1, queues=["default"]
        )
        self.holder = Holder(self.cluster.pk, self.number, draining=lambda: self.stop)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.delete()

    def work(self, job: Job) -> None:
        """Use the job's turns until it has ended or is paused. Raises CannotRun where nothing would move it."""
        with transaction.atomic():
            locked = transitions.lock_job(job.pk)
            if locked is not None:
                permits.change(locked, None)
        try:
            while self._is_to_be_worked(job):
                self._use_a_turn(job)
        finally:
            _withdraw_messages(job)

    @staticmethod
    def _is_to_be_worked(job: Job) -> bool:
        job.refresh_from_db()
        return job.is_active and job.state != JobState.PAUSED

    def _use_a_turn(self, job: Job) -> None:
        make_due(job)
        waiting = Turn.objects.filter(job=job, holder__isnull=True, message_id__isnull=False)
        turn = waiting.order_by("due", "number").first()
        said = "" if turn is None else runner.run_slice(job.pk, turn.number, turn.seq, self.holder)
        if said in {"", "unknown"}:
            raise CannotRun(f"The job stands still: {job.get_state_display()}, and no turn of it waits.")


def make_due(job: Job) -> None:
    """Have the job's deferred items come round now, whatever their back-off."""
    Outcome.objects.filter(job=job, state=OutcomeState.DEFERRED).update(due=ClockTimestamp())
    Chunk.objects.filter(job=job, deferred__gt=0).update(due=ClockTimestamp())


def _withdraw_messages(job: Job) -> None:
    connection.close_if_unusable_or_obsolete()
    with transaction.atomic():
        locked = transitions.lock_job(job.pk)
        if locked is not None:
            holds.withdraw_turns(locked)


@contextmanager
def _registered(operation: str | type[Operation]) -> Iterator[Operation]:
    """The operation, known by its name meanwhile."""
    if isinstance(operation, str):
        yield registry.get(operation)
        return
    try:
        registry.register(operation)
    except OperationAlreadyRegistered:
        known = registry.get(operation.name)
        if type(known) is not operation:
            raise
        yield known
        return
    try:
        yield registry.get(operation.name)
    finally:
        registry.unregister(operation.name)


def _run_of(job: Job) -> Run:
    job.refresh_from_db()
    figures = progress.of(job)
    payloads = Manifest.objects.filter(job=job).order_by("number").values_list("payload", flat=True)
    items = [item for payload in payloads for item in manifests.decode(payload)]
    outcomes = [
        ItemOutcome(
            position=one.position,
            item=items[one.position],
            state=one.state,
            result=one.result,
            error_code=one.error_code,
            message=one.message,
            attempt=one.attempt,
        )
        for one in Outcome.objects.filter(job=job).order_by("position")
    ]
    return Run(
        job=job,
        outcomes=outcomes,
        events=list(Event.objects.filter(job=job).order_by("pk")),
        total=figures.total,
        succeeded=figures.succeeded,
        skipped=figures.skipped,
        failed=figures.failed,
        in_doubt=figures.in_doubt,
    )


# -- a user of any model


def make_user(permission: str | None = None) -> Any:
    """A new user, of whatever model the project has, who holds that permission.

    Fills in what the model's USERNAME_FIELD and REQUIRED_FIELDS name. Raises CannotRun where it cannot know how;
    then pass a `user` of your own.
    """
    model = get_user_model()
    name = f"test-{uuid.uuid4().hex[:12]}"
    wanted = [model.USERNAME_FIELD, *model.REQUIRED_FIELDS]
    user = model(**{label: _made_up(model, label, name) for label in wanted})
    if hasattr(user, "set_unusable_password"):
        user.set_unusable_password()
    user.save()
    if permission is not None:
        _give(user, permission)
    return user


def _made_up(model: type[models.Model], label: str, name: str) -> Any:
    try:
        kind = model._meta.get_field(label)
    except FieldDoesNotExist:
        return name
    if isinstance(kind, models.EmailField):
        return f"{name}@example.org"
    if isinstance(kind, models.CharField | models.TextField):
        return name[-kind.max_length :] if kind.max_length else name
    if isinstance(kind, models.BooleanField):
        return False
    if isinstance(kind, models.IntegerField):
        return uuid.uuid4().int % 2**31
    if isinstance(kind, models.DateTimeField):
        return dt.datetime.now(dt.UTC)
    if isinstance(kind, models.DateField):
        return dt.datetime.now(dt.UTC).date()
    if isinstance(kind, models.UUIDField):
        return uuid.uuid4()
    raise CannotRun(f"{model.__name__} wants a “{label}”, which cannot be made up: pass a user of your own.")


def _give(user: Any, permission: str) -> None:
    """Also to a user that only has `is_superuser`, which then stands for it."""
    if hasattr(user, "user_permissions"):
        label, _, codename = permission.partition(".")
        kind = type(user)._meta.get_field("user_permissions").related_model
        found = kind._default_manager.filter(content_type__app_label=label, codename=codename).first()
        if found is not None:
            user.user_permissions.add(found)
    if not user.has_perm(permission) and hasattr(user, "is_superuser"):
        user.is_superuser = True
        user.save()
