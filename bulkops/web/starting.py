"""Whether a person may start a job now, and why not: the words beside a start button."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.shortcuts import resolve_url
from django.utils.translation import gettext

from bulkops import liveness
from bulkops.conf import conf
from bulkops.web import cards, fetch

if TYPE_CHECKING:
    from bulkops.models import Job


@dataclass(frozen=True)
class Start:
    """The state of the start buttons."""

    job: Job | None = None
    """The job that stands in the way."""
    no_worker: bool = False
    logged_out: bool = False

    @classmethod
    def of(cls, user: Any) -> Start:
        """As it is for this user now."""
        if not user.is_authenticated:
            return cls(logged_out=True)
        job = fetch.active_job(user)
        return cls(job, no_worker=job is None and liveness.workers_missing())

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
        return "" if self.job is None else self.job.name or cards.operation_title(self.job.operation)

    @property
    def no_worker_words(self) -> str:
        return gettext(liveness.NO_WORKER)

    @property
    def poll(self) -> str:
        """Quick while the buttons wait for a job to end; slow while they only watch other tabs."""
        return cards.interval(conf().poll_seconds if self.job is not None else conf().poll_paused_seconds)
