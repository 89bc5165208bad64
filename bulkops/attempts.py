"""How often somebody did something lately: counters in the database, so that a limit holds over several processes.

Fixed windows by the database's clock. Only what is limited is counted; reading a job's status is not.
"""

from __future__ import annotations

import hashlib
import math

from django.db import connection, models

from bulkops.clock import ClockTimestamp, from_now

KEPT_SECONDS = 24 * 3600
"""How long after its window's end a counter may still lie there."""


class Attempts(models.Model):
    """One counter: what is counted, for whom, and until when."""

    key = models.CharField(max_length=64, primary_key=True, help_text="A hash: names and addresses are not kept.")
    hits = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        app_label = "bulkops"

    def __str__(self) -> str:
        return f"{self.hits} until {self.ends_at:%Y-%m-%d %H:%M:%S}"


# One statement that counts and answers: of two that read and then write, many at once would all pass.
_COUNT = """
INSERT INTO bulkops_attempts AS known (key, hits, ends_at)
VALUES (%(key)s, 1, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (key) DO UPDATE SET
    hits = CASE WHEN known.ends_at <= clock_timestamp() THEN 1 ELSE least(known.hits, 1000000) + 1 END,
    ends_at = CASE WHEN known.ends_at <= clock_timestamp() THEN excluded.ends_at ELSE known.ends_at END
RETURNING hits, extract(epoch FROM ends_at - clock_timestamp())
"""


def count(what: str, *who: object, most: int, seconds: float) -> int:
    """Count one more; how many seconds to wait where it was one too many, else 0. Commits by itself outside a
    transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"key": _key(what, *who), "seconds": seconds})
        hits, left = cursor.fetchone()
    return max(1, math.ceil(left)) if hits > most else 0


def wait(what: str, *who: object, most: int) -> int:
    """How many seconds to wait until one more is allowed; 0: none. Counts nothing."""
    left = (
        Attempts.objects.filter(key=_key(what, *who), hits__gte=most, ends_at__gt=ClockTimestamp())
        .annotate(left=models.F("ends_at") - ClockTimestamp())
        .values_list("left", flat=True)
        .first()
    )
    return 0 if left is None else max(1, math.ceil(left.total_seconds()))


def forget(what: str, *who: object) -> None:
    """Begin to count anew."""
    Attempts.objects.filter(key=_key(what, *who)).delete()


def forget_old() -> int:
    """Delete counters whose window ended long ago."""
    return Attempts.objects.filter(ends_at__lt=from_now(-KEPT_SECONDS)).delete()[0]


def _key(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()
