"""The counters of failures that are alike: which group a failure belongs to, and counting it there.

A failed item stays failed, so a counter only grows. It moves in the transaction that records the failure. A group has a
row for each shard: a worker counts in the shard of its turn, so that nobody queues behind a row; whoever records a
failure in a worker's place holds the job's lock and has a shard of its own, since it may go on to lock chunks, for
which a worker must not wait with its counter locked. What is read is the sum.

The statement is written by hand because the fenced statements of an item contain it, and because the ORM has no upsert
that adds up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection

from bulkops import fingerprints
from bulkops.models import Chunk, FailureGroup

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.fingerprints import Alike

SHARDS = 64
"""Of workers, by the number of their turn."""
UNDER_THE_JOBS_LOCK = SHARDS
"""The shard of whoever holds that lock."""
MOST = 50
"""Groups of a job, and a few more where its workers find new ones at the same moment; the rest are one group."""
SAMPLES = 3

# Positions of the first few are kept; what they say is in the ledger.
_COUNT = f"""
INSERT INTO bulkops_failuregroup AS g (job_id, fingerprint, shard, count, error_code, words, samples)
SELECT job_id, {{fingerprint}}, {{shard}}, 1, {{error_code}}, {{words}}, ARRAY[{{position}}] FROM {{source}}
ON CONFLICT (job_id, fingerprint, shard) DO UPDATE SET
    count = g.count + 1,
    samples = CASE WHEN cardinality(g.samples) < {SAMPLES} THEN g.samples || excluded.samples ELSE g.samples END
"""  # noqa: S608 - made of constants


def counting(**names: str) -> str:
    """SQL that counts one failure: a row of `source`, which has a `job_id`. The other names are its parameters."""
    return _COUNT.format(**names)


class Groups:
    """Finds the group of each failure of one job, and knows which ones that job has: those that it has read."""

    def __init__(self) -> None:
        self._known = {fingerprints.OTHER.fingerprint}
        self._full = False

    def place(self, error_code: str, message: str, chunk_id: int) -> Alike:
        """The group in which a failure of that chunk's job is counted; one query where it is new here."""
        alike = fingerprints.of(error_code, message)
        if alike.fingerprint in self._known:
            return alike
        if not self._full:
            self._read(chunk_id)
        if alike.fingerprint in self._known:
            return alike
        if self._full:
            return fingerprints.OTHER
        self._known.add(alike.fingerprint)
        return alike

    def _read(self, chunk_id: int) -> None:
        job = Chunk.objects.filter(pk=chunk_id).values("job")
        found = FailureGroup.objects.filter(job=job[:1]).values_list("fingerprint", flat=True).distinct()
        self._known.update(found)
        self._full = len(self._known) > MOST  # and stays so: no group goes away


_COUNT_LATER = counting(
    fingerprint="%(fingerprint)s",
    shard=str(UNDER_THE_JOBS_LOCK),
    error_code="%(error_code)s",
    words="%(words)s",
    position="%(position)s",
    source="bulkops_chunk WHERE id = %(chunk)s",
)


def count(chunk_id: int, position: int, error_code: str, message: str) -> str:
    """Count an item that has failed after all; return its fingerprint. The caller holds the job's lock."""
    alike = Groups().place(error_code, message, chunk_id)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_LATER, {**vars(alike), "position": position, "chunk": chunk_id})
    return alike.fingerprint


def exist(job_id: UUID) -> bool:
    """Whether any failure of the job was counted; those recorded by the code before this were not."""
    return FailureGroup.objects.filter(job=job_id).exists()
