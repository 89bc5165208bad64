"""The verbs that all faces share: submit, cancel, pause, resume. Each is one transaction: lock, check, move, dispatch.

Services never meet the engine but in the tables.
"""

from __future__ import annotations

import itertools
import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, OperationalError, connection, transaction

from bulkops import events, holds, idempotency, manifests, permissions, registry, storable, transitions
from bulkops.conf import conf
from bulkops.exceptions import (
    ActiveJobExists,
    InvalidItems,
    InvalidSubmission,
    NotAllowedNow,
    NotPermitted,
    SubmissionBusy,
)
from bulkops.models import Job, Turn
from bulkops.operation import storable_params
from bulkops.states import ENDED, STOPPING, EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkops.operation import Operation

logger = logging.getLogger("bulkops.services")

LOCK_NOT_AVAILABLE = "55P03"
SUBMIT_ATTEMPTS = 3


class Submission:
    """A submission that was parsed and checked, before anything is locked or stored."""

    def __init__(
        self,
        *,
        user: Any,
        operation: Operation,
        params: dict[str, Any],
        items: Iterable[Any] | None,
        limit: int | None,
        parallelism: int,
        name: str,
        tags: list[str],
        metadata: dict[str, Any],
        input_name: str,
    ) -> None:
        self.user = user
        self.operation = operation
        self.params = params
        self.name, self.tags, self.metadata, self.input_name = name, tags, metadata, input_name
        self.limit = limit
        self.parallelism = parallelism
        self.collects = items is None
        self.packed = [] if items is None else list(manifests.pack(_validated(operation, items, limit)))
        self.total: int | None = None if self.collects else sum(chunk.size for chunk in self.packed)
        many = self.total is not None and self.total > conf().validated_in_request
        self.prepares = self.collects or (many and operation.Item is not None)

    def fingerprint(self) -> str:
        """The same for the same submission; what an idempotency key may be used again for."""
        content = idempotency.digest(chunk.payload for chunk in self.packed)
        return idempotency.fingerprint(
            operation=self.operation.name,
            params=self.params,
            items=content if not self.collects else None,
            limit=self.limit,
            parallelism=self.parallelism,
            name=self.name,
            tags=self.tags,
            metadata=self.metadata,
        )

    def job(self) -> Job:
        """The job it describes, not yet stored."""
        return Job(
            operation=self.operation.name,
            owner=self.user,
            name=self.name,
            tags=self.tags,
            metadata=self.metadata,
            input_name=self.input_name,
            params=self.params,
            total=None if self.prepares else self.total,
            limit=self.limit,
            parallelism=self.parallelism,
            queue=self.operation.queue,
            collects=self.collects,
        )


def _validated(operation: Operation, items: Iterable[Any], limit: int | None) -> Iterator[Any]:
    """The items one by one; the first so many are validated here, and all bad ones among them named at once."""
    errors: list[tuple[int | None, str | None, str]] = []
    for position, item in enumerate(itertools.islice(items, limit)):
        if operation.Item is not None and position < conf().validated_in_request:
            try:
                operation.clean_item(item)
            except InvalidItems as bad:
                errors += [(position, field, text) for _, field, text in bad.errors]
                if len(errors) >= conf().bad_items_named:
                    break
        if not errors:
            yield item
    if errors:
        first, field, text = errors[0]
        where = f"item {first}" + (f", {field}" if field else "")
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise InvalidItems(f"{where[0].upper()}{where[1:]}: {text}{more}", errors[: conf().bad_items_named])


def check(
    *,
    user: Any,
    operation: str,
    params: dict[str, Any] | None = None,
    items: Iterable[Any] | None = None,
    limit: int | None = None,
    parallelism: int | None = None,
    name: str = "",
    tags: Iterable[str] = (),
    metadata: dict[str, Any] | None = None,
    input_name: str = "",
) -> Submission:
    """Parse and check a submission without locking or storing anything.

    Raises UnknownOperation, NotPermitted, InvalidParams, InvalidItems, InputTooLarge or InvalidSubmission.
    """
    found = registry.get(operation)
    if not permissions.may_submit(user, found):
        raise NotPermitted(f"You may not run “{found.title}”.")
    stored = storable_params(found, found.with_defaults(params or {}))
    if items is None and not found.collects:
        raise InvalidItems("This operation needs items: paste them or upload a file.")
    if limit is not None and not 1 <= limit <= 2**31 - 1:
        raise InvalidSubmission("The limit must be at least 1.")
    wanted = 1 if parallelism is None else parallelism
    if not 1 <= wanted <= found.parallelism:
        raise InvalidSubmission(f"The parallelism must be between 1 and {found.parallelism}.")
    tag_list = [storable.text(tag, 50) for tag in tags]
    extra = _storable_metadata(metadata or {})
    return Submission(
        user=user,
        operation=found,
        params=stored,
        items=items,
        limit=limit,
        parallelism=wanted,
        name=storable.text(name, 200),
        tags=tag_list,
        metadata=extra,
        input_name=storable.text(input_name, 255),
    )


def _storable_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise InvalidSubmission("The metadata must be an object.")
    try:
        text = storable.strict_json(metadata)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise InvalidSubmission("The metadata cannot be stored as JSON.") from None
    if size > conf().item_bytes or storable.has_nul(text):
        raise InvalidSubmission(f"The metadata must be at most {conf().item_bytes:,} bytes, without a NUL.")
    return json.loads(text)


def submit(*, user: Any, operation: str, idempotency_key: str | None = None, **what: Any) -> Job:
    """Record a job and wake a worker; the arguments are those of `check`.

    Locks the user's row for one short transaction, in which job, chunks, manifests, turns and queue messages are
    inserted: all of it or none. Raises ActiveJobExists with the running job, IdempotencyKeyReused, SubmissionBusy,
    InvalidIdempotencyKey, and what `check` raises. A key that was spent on the same submission answers with its job
    (`job.replayed` is then true).
    """
    key = idempotency.parse(idempotency_key) if idempotency_key is not None else None
    submission = check(user=user, operation=operation, **what)
    return record(submission, key)


def record(submission: Submission, key: str | None = None) -> Job:
    """The transaction of `submit`. Called again when a constraint decided a race, to find who won it."""
    for _ in range(SUBMIT_ATTEMPTS):
        try:
            with transaction.atomic():
                return _record(submission, key)
        except IntegrityError as error:
            # Somebody took the slot or the key between our look and our insert: the next look will see them.
            if not _is_race(error):
                raise
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", None) != LOCK_NOT_AVAILABLE:
                raise
            raise _busy(submission.user) from None
    raise _busy(submission.user)


def _record(submission: Submission, key: str | None) -> Job:
    user = submission.user
    lock_user(user)
    fingerprint = submission.fingerprint() if key is not None else ""
    # Looked up before the key, which was committed with it: so a job that is found was found with its key.
    active = Job.objects.filter(slot=transitions.user_slot(user)).first()
    if key is not None:
        known = idempotency.find(user_id=user.pk, key=key, fingerprint=fingerprint)
        if known is not None:
            known.replayed = True
            return known
    if active is not None:
        raise ActiveJobExists(active)
    job = submission.job()
    state = JobState.PREPARING if submission.prepares else JobState.QUEUED
    transitions.begin(job, state, actor=user, detail=submission.input_name)
    if key is not None:
        idempotency.spend(user_id=user.pk, key=key, fingerprint=fingerprint, job=job)
    manifests.store(job.pk, submission.packed)
    Turn.objects.bulk_create([Turn(job=job, number=number) for number in range(submission.parallelism)])
    holds.send_turns(job, first=True)
    return job


def lock_user(user: Any) -> None:
    """Lock the user's row until the transaction ends, waiting `lock_timeout_seconds` at most.

    NO KEY UPDATE: rows that refer to the user (a log-in, an order) can be written meanwhile.
    """
    with _bounded_wait():
        get_user_model()._default_manager.select_for_update(no_key=True).only("pk").get(pk=user.pk)


@contextmanager
def _bounded_wait() -> Iterator[None]:
    """Wait `lock_timeout_seconds` at most for a row; the transaction may be a host's, and gets its own limit back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)",
            [f"{int(conf().lock_timeout_seconds * 1000)}ms"],
        )
        before = cursor.fetchone()[0]
        yield
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def _is_race(error: IntegrityError) -> bool:
    diagnosis = getattr(error.__cause__, "diag", None)
    constraint = getattr(diagnosis, "constraint_name", "") or ""
    return constraint == "bulkops_idempotency_once" or "slot" in constraint


def _busy(user: Any) -> ActiveJobExists | SubmissionBusy:
    active = Job.objects.filter(slot=transitions.user_slot(user)).first()
    return SubmissionBusy() if active is None else ActiveJobExists(active)


# -- control


@contextmanager
def _controlled(job: Job, actor: Any) -> Iterator[Job]:
    """The job, locked, for somebody who may control it; what dead holders held is taken back first."""
    if actor is not None and not permissions.may_control(actor, job):
        raise NotPermitted("You may not control this job.")
    with transaction.atomic():
        try:
            with _bounded_wait():
                locked = transitions.lock_job(job.pk)
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", None) != LOCK_NOT_AVAILABLE:
                raise
            # Its `finish` runs, which may take any time: a press must not wait that long.
            raise NotAllowedNow("This job is being changed at the moment; try again soon.", job) from None
        if locked is None:
            raise NotAllowedNow("This job no longer exists.")
        holds.take_back(locked, holds.held_by_dead())
        yield locked


def cancel(*, job: Job, actor: Any, reason: str = "") -> Job:
    """Stop a job for good; what was done stays done. A worker with an item in hand ends that item first.

    Settles at once where no worker holds anything. Asking again only settles, where the worker that was waited for has
    died since. Raises NotAllowedNow for a job that has ended otherwise, and NotPermitted. `actor` None is the shell.
    """
    with _controlled(job, actor) as locked:
        if locked.state in {JobState.CANCELLING, JobState.CANCELLED}:
            holds.settle_stop(locked)
            return locked
        if locked.state in ENDED:
            raise NotAllowedNow("This job has ended already.", locked)
        why = storable.text(reason.strip(), conf().message_chars)
        events.record(locked, EventKind.CANCEL_REQUESTED, actor=actor, detail=why)
        holds.ask_to_stop(locked)
        if holds.any_held(locked) or (locked.started_at is not None and holds.is_complete(locked)):
            transitions.move(locked, JobState.CANCELLING, actor=actor, cancel_reason=why)
            return locked
        holds.withdraw_turns(locked)
        transitions.move(locked, JobState.CANCELLED, actor=actor, cancel_reason=why)
        return locked


def pause(*, job: Job, actor: Any, reason: str = "") -> Job:
    """Let a job stand still until it is resumed; it keeps its slot. A worker ends the item in hand first.

    Asking again only settles, as in `cancel`. Raises NotAllowedNow for a job that has ended, is being cancelled or has
    only its finish left, and NotPermitted.
    """
    with _controlled(job, actor) as locked:
        if locked.state in {JobState.PAUSING, JobState.PAUSED}:
            holds.settle_stop(locked)
            return locked
        if locked.state in ENDED or locked.state == JobState.CANCELLING or holds.is_complete(locked):
            raise NotAllowedNow("This job cannot be paused any more.", locked)
        why = storable.text(reason.strip(), conf().message_chars)
        events.record(locked, EventKind.PAUSE_REQUESTED, actor=actor, detail=why)
        holds.ask_to_stop(locked)
        if holds.any_held(locked):
            transitions.move(locked, JobState.PAUSING, actor=actor)
            return locked
        holds.withdraw_turns(locked)
        transitions.move(locked, JobState.PAUSED, actor=actor)
        return locked


def resume(*, job: Job, actor: Any, reason: str = "") -> Job:
    """Let a paused job go on where it stood. Raises NotAllowedNow for a job that is not paused, and NotPermitted."""
    with _controlled(job, actor) as locked:
        holds.settle_stop(locked)
        if locked.state in STOPPING or locked.state != JobState.PAUSED:
            raise NotAllowedNow("Only a paused job can be resumed.", locked)
        holds.ask_to_stop(locked, stop=False)
        if locked.total is None:
            to = JobState.PREPARING
        else:
            to = JobState.QUEUED if locked.started_at is None else JobState.RUNNING
        transitions.move(locked, to, actor=actor)
        why = storable.text(reason.strip(), conf().message_chars)
        events.record(locked, EventKind.RESUMED, actor=actor, detail=why)
        holds.send_turns(locked, first=True)
        return locked
