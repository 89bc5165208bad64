"""Waiting for a row no longer than a press may wait: the owner's at submit, the job's at every control."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext

from bulkops import holds, permissions, transitions
from bulkops.conf import conf
from bulkops.exceptions import NotAllowedNow, NotPermitted
from bulkops.outage import is_lock_timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.models import Job


def lock_user(user: Any) -> None:
    """Lock the user's row until the transaction ends, waiting `lock_timeout_seconds` at most.

    NO KEY UPDATE: rows that refer to the user (a log-in, an order) can be written meanwhile.
    """
    with bounded_wait():
        get_user_model()._default_manager.select_for_update(no_key=True).only("pk").get(pk=user.pk)


@contextmanager
def bounded_wait() -> Iterator[None]:
    """Wait `lock_timeout_seconds` at most for a row; the transaction may be a host's, and gets its own limit back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)",
            [f"{int(conf().lock_timeout_seconds * 1000)}ms"],
        )
        before = cursor.fetchone()[0]
        yield
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


@contextmanager
def controlled(job: Job, actor: Any) -> Iterator[Job]:
    """The job, locked, for somebody who may control it; what dead holders held is taken back first."""
    if actor is not None and not permissions.may_control(actor, job):
        raise NotPermitted(gettext("You may not control this job."))
    with transaction.atomic():
        try:
            with bounded_wait():
                locked = transitions.lock_job(job.pk)
        except OperationalError as error:
            if not is_lock_timeout(error):
                raise
            # Its `finish` runs, which may take any time: a press must not wait that long.
            raise NotAllowedNow(gettext("This job is being changed at the moment; try again soon."), job) from None
        if locked is None:
            raise NotAllowedNow(gettext("This job no longer exists."))
        holds.take_back(locked, holds.held_by_dead())
        yield locked
