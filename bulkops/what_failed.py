"""What failed in a job, group by group: how often, in which words, with a few samples, and what a retry can still take.

Read from the groups' counters, so that it costs the same for a million failures as for ten. The same for every face.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zlib import crc32

from django.db.models import Sum

from bulkops import failure_groups, fingerprints, lineage
from bulkops.models import Chunk, FailureGroup, Outcome

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.models import Job


@dataclass(frozen=True, kw_only=True)
class Group:
    """Failures that are alike."""

    fingerprint: str
    error_code: str
    words: str
    count: int
    positions: tuple[int, ...]
    """Of up to three samples."""


@dataclass(frozen=True)
class Sample:
    """One failure of a group, as the ledger has it."""

    position: int
    message: str


@dataclass(frozen=True, kw_only=True)
class WhatFailed:
    """All groups of a job, the largest first. What else there is to know is asked for when it is used."""

    job: Job
    groups: tuple[Group, ...]
    ungrouped: int
    """Failures that no group counts: the code before this recorded them."""

    @property
    def seen(self) -> str:
        """Changes whenever a count does."""
        told = "".join(f"{group.fingerprint}{group.count}" for group in self.groups)
        return f"{crc32(told.encode()):08x}.{self.ungrouped}"

    @cached_property
    def left(self) -> dict[str, int]:
        """Of an ended job: how many items of each group a retry can still take. One query."""
        taken = lineage.taken_by_group(self.job) if self.groups and not self.job.is_active else None
        if taken is None:
            return {}
        left = {group.fingerprint: group.count - taken[group.fingerprint] for group in self.groups}
        return {fingerprint: n for fingerprint, n in left.items() if n > 0}

    @cached_property
    def samples(self) -> dict[str, list[Sample]]:
        """A few failures of each group. One query, by key."""
        positions = [position for group in self.groups for position in group.positions]
        messages = dict(
            Outcome.objects.filter(job_id=self.job.pk, position__in=positions).values_list("position", "message")
        )
        return {
            group.fingerprint: [
                Sample(position, messages[position]) for position in group.positions if position in messages
            ]
            for group in self.groups
        }

    def told(self, group: Group) -> str:
        """A group in words; a single failure in its own, since nothing in them differs from another's."""
        samples = self.samples[group.fingerprint] if group.count == 1 else []
        return (plain(group, samples[0].message) if samples else "") or group.words


def plain(group: Group, message: str) -> str:
    """A failure's message as the group's words are written: on one line, without the code, not longer than they."""
    said = message.removeprefix(f"{group.error_code}:")
    return " ".join(said.split())[: fingerprints.WORDS]


def of(job: Job) -> WhatFailed:
    """The groups of a job. Two queries."""
    # First the sum and then its parts: what fails in between makes no failure look as if it had no group.
    failed = Chunk.objects.filter(job=job).aggregate(failed=Sum("failed"))["failed"] or 0
    groups = _groups(job.pk)
    return WhatFailed(job=job, groups=groups, ungrouped=max(0, failed - sum(group.count for group in groups)))


def resource(found: WhatFailed) -> dict[str, Any]:
    """The groups as programs see them, as JSON types."""
    left = found.left
    groups = [
        {
            "fingerprint": group.fingerprint,
            "count": group.count,
            "error_code": group.error_code,
            "message": group.words,
            "samples": [asdict(sample) for sample in found.samples[group.fingerprint]],
            "left": left.get(group.fingerprint, 0),
            "retryable": group.fingerprint in left,
        }
        for group in found.groups
    ]
    return {"ungrouped": found.ungrouped, "results": groups}


def _groups(job_id: UUID) -> tuple[Group, ...]:
    shards: dict[str, list[FailureGroup]] = {}
    for row in FailureGroup.objects.filter(job=job_id):
        shards.setdefault(row.fingerprint, []).append(row)
    groups = [
        Group(
            fingerprint=fingerprint,
            error_code=rows[0].error_code,
            words=rows[0].words,
            count=sum(row.count for row in rows),
            positions=tuple(sorted(position for row in rows for position in row.samples)[: failure_groups.SAMPLES]),
        )
        for fingerprint, rows in shards.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.positions)))
