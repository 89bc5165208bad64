"""A form filled from an earlier run: which job's, what of it is not filled in, and whether its items can be taken too.

An operation that found its items itself finds them anew. Items that were given are read from the earlier job's
manifests when the form is sent, as those of an upload are, and become items of the new job with keys of their own.
Files that somebody chose are taken again by the same person, as long as they are kept: both jobs have them then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.files.storage import default_storage
from django.http import Http404
from django.utils.translation import gettext

from bulkops import item_values, uploaded_files, wording
from bulkops.conf import conf
from bulkops.exceptions import InvalidItems
from bulkops.models import Job
from bulkops.web import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.operation import Operation


@dataclass(frozen=True)
class Again:
    """One earlier job of an operation, as the source of its form."""

    job: Job
    operation: Operation
    user: Any
    """Who asks."""

    @classmethod
    def of(cls, user: Any, job_id: str, operation: Operation) -> Again | None:
        """The job of that id, if it is one of this operation that the user may see."""
        try:
            job = fetch.visible_job(user, UUID(job_id))
        except (ValueError, Http404):
            return None
        return cls(job, operation, user) if job.operation == operation.name else None

    @classmethod
    def last_run(cls, user: Any, operation: Operation) -> Again | None:
        """The newest job of this operation that the user started, if there is something in it to be used again."""
        job = Job.objects.filter(owner=user, operation=operation.name, schedule="").order_by("-created_at").first()
        again = None if job is None else cls(job, operation, user)
        return again if again and (again.offers_items or again.params or again.options) else None

    @property
    def params(self) -> dict[str, Any]:
        """What fills the parameters' form: nothing secret, which nobody is shown."""
        names = () if self.operation.Params is None else self.operation.Params.base_fields
        return {k: v for k, v in self.job.params.items() if k in names and k not in self.operation.secret}

    @property
    def options(self) -> dict[str, Any]:
        """What fills the form of every job, without what is as it would be anyway."""
        job = self.job
        asked: dict[str, Any] = {"limit": job.limit, "parallelism": job.parallelism if job.parallelism > 1 else None}
        if job.rate_per_second != self.operation.rate_per_second:
            asked["rate_per_second"] = job.rate_per_second
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def had_items_of_its_own(self) -> bool:
        """Whether its items were given to it, by a person or as a retry's, and not found by the operation."""
        return self.job.parent_id is not None or not self.job.collects

    @property
    def offers_items(self) -> bool:
        """Whether the same items can be taken again: all are there, and no more than a file may have."""
        known = 0 < (self.job.total or 0) <= conf().file_items
        if not known or not self.had_items_of_its_own:
            return False
        return self.files_are_there if self.operation.takes_files else True

    @property
    def is_mine(self) -> bool:
        return self.job.owner_id == self.user.pk

    @cached_property
    def files_are_there(self) -> bool:
        """Whether its files can be read again: by whoever chose them, as long as they are in the storage.

        A job's files go together, so the first one tells.
        """
        if not self.is_mine:
            return False
        first, _ = item_values.at(self.job, [0]).get(0, (None, ""))
        try:
            return default_storage.exists(uploaded_files.check(first, self.job.upload))
        except InvalidItems:
            return False

    @property
    def upload(self) -> str:
        """The files that its items name."""
        return self.job.upload if self.operation.takes_files else ""

    @property
    def label(self) -> str:
        """Of the box that takes the items."""
        return gettext("Take the same %(items)s again") % {
            "items": wording.counted(self.operation, self.job.total or 0)
        }

    @property
    def help_text(self) -> str:
        """Of the same box."""
        if self.operation.takes_files:
            return gettext("Those of the earlier run, which are still here. To choose others below, untick it.")
        words = gettext("Those of the earlier run. To give others below, untick it.")
        if not self.operation.collects:
            return words
        return words + " " + gettext("Unticked and with none given, the operation takes all that it finds itself.")

    @property
    def sentences(self) -> list[str]:
        """What is to be known before it is sent."""
        forms = self.operation.Params
        hidden = [forms()[name].label for name in self.operation.secret] if forms is not None else []
        said = []
        if hidden:
            said.append(gettext("What is secret is not filled in: %(names)s.") % {"names": ", ".join(map(str, hidden))})
        if not self.had_items_of_its_own:
            said.append(gettext("The operation finds its items anew."))
        elif self.offers_items:
            pass
        elif self.operation.takes_files and not self.is_mine:
            said.append(gettext("Its files are somebody else's: choose your own below."))
        elif self.operation.takes_files:
            said.append(gettext("Its files are no longer there: choose them below."))
        else:
            said.append(gettext("Its items are not taken again: give them below."))
            if self.operation.collects:
                said.append(gettext("With none given, the operation takes all that it finds itself."))
        return said

    def items(self) -> Iterator[Any]:
        """Its items in their order. Raises InvalidItems where they are not all there any more."""
        count = 0
        for item in item_values.every(self.job):
            count += 1
            yield item
        if count != self.job.total:
            raise InvalidItems(gone())


def gone() -> str:
    """What is said where an earlier job was deleted meanwhile."""
    return gettext("The earlier run's items are no longer there; give them here.")
