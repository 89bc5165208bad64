"""One-time keys: the same key of the same user makes one job, also after that job has ended.

Rules: the IETF draft “The Idempotency-Key HTTP Header Field”. The key row is inserted in the job's own transaction,
under the user's row lock; the unique constraint behind it settles what the lock would not.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, models
from django.utils import timezone

from bulkops.conf import conf
from bulkops.exceptions import IdempotencyKeyReused, InvalidIdempotencyKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from bulkops.models import Job

VISIBLE = re.compile(r"[!-~]{1,255}")


class IdempotencyKey(models.Model):
    """A key a user has spent, what for, and the job it made."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    job = models.ForeignKey("bulkops.Job", on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        app_label = "bulkops"
        constraints = (models.UniqueConstraint(fields=["user", "key"], name="bulkops_idempotency_once"),)

    def __str__(self) -> str:
        return f"{self.key} of user {self.user_id}"


def parse(header: str) -> str:
    """The key in a header or a form field, quoted or bare. Raises InvalidIdempotencyKey."""
    bare = header[1:-1] if len(header) >= 2 and header[0] == header[-1] == '"' else header
    if not VISIBLE.fullmatch(bare):
        raise InvalidIdempotencyKey
    return bare


def fingerprint(**what: Any) -> str:
    """A hash of what was submitted; the same input gives the same text."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def digest(parts: Iterable[bytes]) -> str:
    """A hash of a long content, part by part."""
    running = hashlib.sha256()
    for part in parts:
        running.update(hashlib.sha256(part).digest())
    return running.hexdigest()


def find(*, user_id: Any, key: str, fingerprint: str) -> Job | None:
    """The job this key made, if it is still remembered. Raises IdempotencyKeyReused for another submission."""
    known = IdempotencyKey.objects.select_related("job").filter(user_id=user_id, key=key).first()
    if known is None:
        return None
    if known.created_at < _oldest_remembered():
        known.delete()
        return None
    if known.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return known.job


def claim(*, user_id: Any, key: str) -> bool:
    """Whether nobody else handles this key at the moment; it is then ours until the transaction ends.

    A lock without a row, since a refused submission must leave nothing behind.
    """
    digest = hashlib.sha256(f"bulkops idempotency key {user_id} {key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])
        return bool(cursor.fetchone()[0])


def spend(*, user_id: Any, key: str, fingerprint: str, job: Job) -> None:
    """Remember the key; part of the transaction that inserts the job. Raises IntegrityError if somebody was faster."""
    IdempotencyKey.objects.create(user_id=user_id, key=key, fingerprint=fingerprint, job=job)


def remembered() -> QuerySet[IdempotencyKey]:
    """Keys that still answer for their job."""
    return IdempotencyKey.objects.filter(created_at__gte=_oldest_remembered())


def forget_expired(most: int) -> int:
    """Delete so many expired keys at most, in one statement; return how many there were."""
    expired = IdempotencyKey.objects.filter(created_at__lt=_oldest_remembered()).order_by("created_at")
    return IdempotencyKey.objects.filter(pk__in=expired.values("pk")[:most]).delete()[0]


def _oldest_remembered() -> datetime:
    return timezone.now() - timedelta(hours=conf().idempotency_hours)
