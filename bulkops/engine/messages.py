"""What an operation says while it works: kept, and written to the job at most once a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.db import connection

from bulkops import storable
from bulkops.conf import conf
from bulkops.models import Job

if TYPE_CHECKING:
    from uuid import UUID


class Messages:
    """The latest text of one slice."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        self._text: str | None = None
        self._written_at = 0.0

    def say(self, text: str) -> None:
        """Take a text; written at once only outside a transaction, since the job's row must not stay locked."""
        self._text = storable.text(text, conf().message_chars)
        if not connection.in_atomic_block:
            self.write_if_due()

    def write_if_due(self) -> None:
        """Write what was said, unless something was written within the last second."""
        if self._text is not None and time.monotonic() - self._written_at >= conf().message_every_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what was said and is not written yet."""
        if self._text is None:
            return
        Job.objects.filter(pk=self.job_id).update(message=self._text)
        self._text, self._written_at = None, time.monotonic()
