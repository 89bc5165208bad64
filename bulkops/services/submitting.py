"""Submitting: parse and check first, then one short transaction that records the job and wakes a worker."""

from __future__ import annotations

import itertools
import json
import logging
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, OperationalError, transaction
from django.utils.translation import gettext, gettext_noop

from bulkops import batches, holds, idempotency, manifests, permissions, registry, storable, transitions, uploaded_files
from bulkops.conf import conf
from bulkops.exceptions import (
    ActiveJobExists,
    InvalidItems,
    InvalidSubmission,
    NotPermitted,
    SubmissionBusy,
)
from bulkops.models import Job, Turn
from bulkops.operation import allowed_rate, storable_params
from bulkops.outage import is_lock_timeout
from bulkops.services.locking import lock_user
from bulkops.states import JobState
from bulkops.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bulkops.manifests import Packed
    from bulkops.operation import Operation

logger = logging.getLogger("bulkops.services")

SUBMIT_ATTEMPTS = 3
_NO_ITEMS = gettext_noop("This operation needs items: paste them or upload a file.")
_NO_FILES = gettext_noop("This operation needs items: choose the files.")


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
        rate_per_second: float | None,
        upload: str,
        schedule: str,
        email_at_end: bool,
    ) -> None:
        self.user = user
        self.operation = operation
        self.params = params
        self.name, self.tags, self.metadata, self.input_name = name, tags, metadata, input_name
        self.rate_per_second, self.upload, self.schedule = rate_per_second, upload, schedule
        self.email_at_end = email_at_end
        self.limit = limit
        self.parallelism = parallelism
        self.collects = items is None
        self.packed = [] if items is None else self._pack(items)
        self.total: int | None = None if self.collects else sum(chunk.size for chunk in self.packed)
        many = self.total is not None and self.total > conf().validated_in_request
        self.prepares = self.collects or (many and _is_checked(operation))

    def _pack(self, items: Iterable[Any]) -> list[Packed]:
        validated = _validated(self.operation, items, self.limit, self.upload)
        return list(manifests.pack(validated, most=self.operation.chunk_items, workers=self.parallelism))

    def fingerprint(self) -> str:
        """The same for the same submission; what an idempotency key may be used again for."""
        return idempotency.fingerprint(
            operation=self.operation.name,
            params=self.params,
            items=self._content() if not self.collects else None,
            limit=self.limit,
            parallelism=self.parallelism,
            name=self.name,
            tags=self.tags,
            metadata=self.metadata,
            **({"email": True} if self.email_at_end else {}),
            **({} if self.rate_per_second == self.operation.rate_per_second else {"rate": self.rate_per_second}),
        )

    def _content(self) -> str:
        if not self.upload:
            return idempotency.digest(chunk.payload for chunk in self.packed)
        # The same files get another batch each time they are sent; their names in it say what they hold.
        items = (item for chunk in self.packed for item in manifests.decode(chunk.payload))
        return idempotency.digest(json.dumps(item).replace(self.upload, "").encode() for item in items)

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
            rate_per_second=self.rate_per_second,
            upload=self.upload,
            schedule=self.schedule,
            email_at_end=self.email_at_end,
        )


def _is_checked(operation: Operation) -> bool:
    return operation.Item is not None or operation.takes_files


def _validated(operation: Operation, items: Iterable[Any], limit: int | None, upload: str) -> Iterator[Any]:
    """The items one by one; the first so many are validated here, and all bad ones among them named at once."""
    errors: list[tuple[int | None, str | None, str]] = []
    for position, item in enumerate(itertools.islice(items, limit)):
        if _is_checked(operation) and position < conf().validated_in_request:
            try:
                uploaded_files.clean_item(operation, item, upload)
            except InvalidItems as bad:
                errors += [(position, field, text) for _, field, text in bad.errors]
                if len(errors) >= conf().bad_items_named:
                    break
        if not errors:
            yield item
    if errors:
        first, field, text = errors[0]
        where = gettext("Item %(number)s") % {"number": first} + (f", {field}" if field else "")
        more = gettext(" (and %(n)s more)") % {"n": len(errors) - 1} if len(errors) > 1 else ""
        raise InvalidItems(f"{where}: {text}{more}", errors[: conf().bad_items_named])


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
    rate_per_second: float | None = None,
    upload: str = "",
    schedule: str = "",
    email_at_end: bool = False,
) -> Submission:
    """Parse and check a submission without locking or storing anything.

    `rate_per_second` is the job's speed limit, at most the operation's own. `upload` names the folder of the files
    that its items are. A job that a `schedule` begins holds that one's slot, not the user's. With `email_at_end` its
    owner, who needs an address, is told by e-mail when it has ended.

    Raises UnknownOperation, NotPermitted, InvalidParams, InvalidItems, InputTooLarge, InvalidRate or InvalidSubmission.
    """
    found = registry.get(operation)
    stored = _permitted_params(user, found, params or {})
    if items is None and not found.collects:
        raise InvalidItems(gettext(_NO_FILES if found.takes_files else _NO_ITEMS))
    if limit is not None and not 1 <= limit <= 2**31 - 1:
        raise InvalidSubmission(gettext("The limit must be at least 1."))
    return Submission(
        user=user,
        operation=found,
        params=stored,
        items=items,
        limit=limit,
        parallelism=_checked_parallelism(found, parallelism),
        name=storable.text(name, 200),
        tags=[storable.text(tag, 50) for tag in tags],
        metadata=_storable_metadata(metadata or {}),
        input_name=storable.text(input_name, 255),
        rate_per_second=allowed_rate(found, rate_per_second),
        upload=upload,
        schedule=schedule,
        email_at_end=_checked_wish(user, email_at_end),
    )


def _checked_parallelism(operation: Operation, wanted: int | None) -> int:
    if wanted is not None and not 1 <= wanted <= operation.parallelism:
        words = gettext("The parallelism must be between 1 and %(most)s.")
        raise InvalidSubmission(words % {"most": operation.parallelism})
    return wanted or 1


def _checked_wish(user: Any, email_at_end: bool) -> bool:
    if email_at_end and not outbox.address_of(user):
        raise InvalidSubmission(gettext("You have no e-mail address here, so no e-mail can tell of the job's end."))
    return email_at_end


def _permitted_params(user: Any, operation: Operation, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters as they are stored. Who lacks the operation's permission learns nothing about them."""
    if not permissions.may_submit(user, operation):
        raise NotPermitted(gettext("You may not run “%(title)s”.") % {"title": operation.title})
    stored = storable_params(operation, operation.with_defaults(given))
    refused = permissions.refusal(user, operation, operation.clean_params(stored))
    if refused is not None:
        raise NotPermitted(refused)
    return stored


def _storable_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise InvalidSubmission(gettext("The metadata must be an object."))
    try:
        text = storable.strict_json(metadata)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise InvalidSubmission(gettext("The metadata cannot be stored as JSON.")) from None
    if size > conf().item_bytes or storable.has_nul(text):
        raise InvalidSubmission(
            gettext("The metadata must be at most %(n)s bytes, without a NUL.") % {"n": f"{conf().item_bytes:,}"}
        )
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
    """The transaction of `submit`."""
    slot = transitions.slot_of(submission.job())
    return decided_by_the_database(slot, lambda: _record(submission, key))


def decided_by_the_database(slot: str, insert: Callable[[], Job]) -> Job:
    """Run what inserts a job that needs that slot in a transaction, and again when a constraint decided a race.

    The next look will see who won it. Raises ActiveJobExists or SubmissionBusy where a row lock was not to be had.
    """
    for _ in range(SUBMIT_ATTEMPTS):
        try:
            with transaction.atomic():
                return insert()
        except IntegrityError as error:
            # Somebody took the slot or the key between our look and our insert: the next look will see them.
            if not _is_race(error):
                raise
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
            raise _busy(slot) from None
    raise _busy(slot)


def _record(submission: Submission, key: str | None) -> Job:
    user = submission.user
    lock_user(user)
    fingerprint = submission.fingerprint() if key is not None else ""
    # Looked up before the key, which was committed with it: so a job that is found was found with its key.
    job = submission.job()
    active = Job.objects.filter(slot=transitions.slot_of(job)).first()
    if key is not None:
        known = idempotency.find(user_id=user.pk, key=key, fingerprint=fingerprint)
        if known is not None:
            known.replayed = True
            return known
    if active is not None:
        raise ActiveJobExists(active)
    state = JobState.PREPARING if submission.prepares else JobState.QUEUED
    by = f"by the schedule {submission.schedule}" if submission.schedule else submission.input_name
    if job.upload:
        batches.take(job.upload)
    transitions.begin(job, state, actor=user, detail=by)
    if job.email_at_end:
        outbox.email_endpoint(user)
    if key is not None:
        idempotency.spend(user_id=user.pk, key=key, fingerprint=fingerprint, job=job)
    manifests.store(job.pk, submission.packed)
    Turn.objects.bulk_create([Turn(job=job, number=number) for number in range(submission.parallelism)])
    holds.send_turns(job, first=True)
    return job


def _is_race(error: IntegrityError) -> bool:
    diagnosis = getattr(error.__cause__, "diag", None)
    constraint = getattr(diagnosis, "constraint_name", "") or ""
    return constraint == "bulkops_idempotency_once" or "slot" in constraint


def _busy(slot: str) -> ActiveJobExists | SubmissionBusy:
    active = Job.objects.filter(slot=slot).first()
    words = gettext("Another submission of yours is being recorded; try again in a moment.")
    return SubmissionBusy(words) if active is None else ActiveJobExists(active)
