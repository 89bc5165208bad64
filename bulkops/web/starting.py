"""Whether a person may start a job now, and why not: the words beside a start button."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.shortcuts import resolve_url
from django.utils.http import urlencode
from django.utils.translation import gettext

from bulkops import liveness, permissions, registry, wording
from bulkops.conf import conf
from bulkops.exceptions import UnknownOperation
from bulkops.operation import Operation
from bulkops.web import cards, fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkops.models import Job


@dataclass(frozen=True)
class Promised:
    """What a start button says will happen: so many items of an operation."""

    operation: Operation
    count: int

    @property
    def words(self) -> str:
        """“1,204 tickets will change”."""
        effect = self.operation.effect
        said = gettext("will be processed") if effect == Operation.effect else effect
        return f"{wording.counted(self.operation, self.count)} {said}"

    @property
    def query(self) -> str:
        """The same in the address of the button's fragment, which is fetched anew on its own."""
        return "&" + urlencode({"operation": self.operation.name, "count": str(self.count)})

    @classmethod
    def of(cls, query: Mapping[str, str], user: Any) -> Promised | None:
        """Read back from the address; none where it says nothing, or of an operation that this user may not run."""
        count = query.get("count", "")
        try:
            operation = registry.get(query.get("operation", ""))
        except UnknownOperation:
            return None
        if not (count.isascii() and count.isdecimal() and len(count) <= MOST_DIGITS):
            return None
        return cls(operation, int(count)) if permissions.may_submit(user, operation) else None


MOST_DIGITS = 12


@dataclass(frozen=True)
class Start:
    """The state of the start buttons."""

    job: Job | None = None
    """The job that stands in the way."""
    no_worker: bool = False
    logged_out: bool = False
    promised: Promised | None = None
    """What pressing it will do, where that was found out."""

    @classmethod
    def of(cls, user: Any, promised: Promised | None = None) -> Start:
        """As it is for this user now."""
        if not user.is_authenticated:
            return cls(logged_out=True)
        job = fetch.active_job(user)
        return cls(job, no_worker=job is None and liveness.workers_missing(), promised=promised)

    @property
    def disabled(self) -> bool:
        return self.job is not None or self.no_worker or self.logged_out

    @property
    def seen(self) -> str:
        if self.job is not None:
            return str(self.job.pk)
        if self.logged_out:
            return "logged-out"
        return "no-worker" if self.no_worker else "free"

    @property
    def login_url(self) -> str:
        return resolve_url(settings.LOGIN_URL)

    @property
    def job_title(self) -> str:
        return "" if self.job is None else cards.title(self.job)

    @property
    def no_worker_words(self) -> str:
        return gettext(liveness.NO_WORKER)

    @property
    def poll(self) -> str:
        """Quick while the buttons wait for a job to end; slow while they only watch other tabs."""
        return cards.interval(conf().poll_seconds if self.job is not None else conf().poll_paused_seconds)
