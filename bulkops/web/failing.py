"""What failed in a job, as its page shows it: groups with a few samples, live while the job runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bulkops import item_values, permissions, what_failed
from bulkops.conf import conf
from bulkops.web import cards

if TYPE_CHECKING:
    from bulkops.models import Job
    from bulkops.what_failed import Group, WhatFailed

VALUED = 10
"""Groups whose samples are shown with their items' values: each may lie in another manifest."""


@dataclass(frozen=True)
class Sample:
    """One failed item."""

    position: int
    value: Any
    says: str
    """Its message, where that says more than the group's words and the sample before."""

    @property
    def number(self) -> int:
        """People count from 1."""
        return self.position + 1


@dataclass(frozen=True)
class Row:
    """One group."""

    group: Group
    words: str
    samples: list[Sample]
    left: int
    """What a retry can still take."""

    @property
    def code(self) -> str:
        """The error's code, where the words are not the same."""
        return "" if self.group.error_code == self.words else self.group.error_code


@dataclass(frozen=True)
class Failing:
    """Read once for a job; samples only when they are shown."""

    job: Job
    found: WhatFailed
    controllable: bool

    @classmethod
    def of(cls, job: Job, user: Any) -> Failing:
        """Two queries, and those for the user's rights in a job of somebody else's."""
        return cls(job, what_failed.of(job), permissions.may_control(user, job))

    @property
    def seen(self) -> str:
        """Changes whenever something here is new."""
        return f"{self.job.state}.{self.found.seen}"

    @property
    def poll(self) -> str:
        return cards.interval(conf().poll_paused_seconds) if self.job.is_active else ""

    @property
    def retryable(self) -> bool:
        """Whether groups have buttons: once nothing moves any more."""
        return self.controllable and not self.job.is_active

    @property
    def partly_taken(self) -> bool:
        """Whether some groups can still be retried and others not: where none can, the card says so once for all."""
        return any(row.left for row in self.rows)

    @property
    def ungrouped(self) -> int:
        """Failures beside the groups; a job without groups lists them as items to look at."""
        return self.found.ungrouped if self.found.groups else 0

    @cached_property
    def rows(self) -> list[Row]:
        """The groups, the largest first."""
        left = self.found.left if self.retryable else {}
        valued = [position for group in self.found.groups[:VALUED] for position in group.positions]
        values = item_values.at(self.job, valued)
        return [self._row(group, values, left.get(group.fingerprint, 0)) for group in self.found.groups]

    def _row(self, group: Group, values: dict[int, tuple[Any, str]], left: int) -> Row:
        words = self.found.told(group)
        return Row(group, words, self._samples(group, words, values), left)

    def _samples(self, group: Group, words: str, values: dict[int, tuple[Any, str]]) -> list[Sample]:
        samples, said = [], {words, group.error_code}
        for one in self.found.samples[group.fingerprint]:
            says = one.message.removeprefix(f"{group.error_code}:").strip()
            value, _ = values.get(one.position, (None, ""))
            told = says in said or (group.count == 1 and what_failed.plain(group, one.message) == words)
            samples.append(Sample(one.position, value, "" if told else says))
            said.add(says)
        return samples
