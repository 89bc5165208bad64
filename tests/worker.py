"""A worker without a process of its own: claims messages as a real one does and runs slices in the test's process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_q.models import OrmQ
from django_q.signing import SignedPackage

from bulkops.clock import from_now
from bulkops.cluster.inbox import Inbox
from bulkops.dispatch import queue_keys, withdraw
from bulkops.engine import rescue, runner
from bulkops.models import Cluster
from bulkops.testing import Worker

if TYPE_CHECKING:
    from bulkops.models import Job


class InProcessWorker(Worker):
    """One worker; several of them can be made to play at once, step by step."""

    _numbers = 0

    def __init__(self, alive_seconds: float = 3600) -> None:
        InProcessWorker._numbers += 1
        super().__init__(f"test-{InProcessWorker._numbers}", InProcessWorker._numbers, alive_seconds)
        self.worked_on: UUID | None = None
        self._inbox = Inbox(queue_keys(["default"]), lambda: False)

    def step(self) -> str | None:
        """Work one message; say what came of it, or None if nothing is due."""
        task: Any = self._inbox._claim()
        if task is None:
            return None
        job_id, number, seq = task["args"]
        self.worked_on = UUID(job_id)
        done = runner.run_slice(UUID(job_id), number, seq, self.holder)
        withdraw([task["ack_id"]])
        return done

    def drain(self, seconds: float = 120) -> list[str]:
        """Work until the queue is empty, waiting for messages that are due soon."""
        ends = time.monotonic() + seconds
        said = []
        while OrmQ.objects.exists():
            assert time.monotonic() < ends, "the queue does not empty"
            one = self.step()
            if one is None:
                time.sleep(0.01)
            else:
                said.append(one)
        return said

    def finish(self, job: Job) -> Job:
        """Drain the queue and return the job as it then is."""
        self.drain()
        job.refresh_from_db()
        return job

    def die(self) -> None:
        """Count as dead from now on, as after the loss of a host."""
        Cluster.objects.filter(pk=self.cluster.pk).update(alive_until=from_now(-1))

    @staticmethod
    def rescue() -> int:
        """One round of a leader."""
        return rescue.rescue()

    @staticmethod
    def payload() -> Any:
        """The arguments of the only message in the queue."""
        return SignedPackage.loads(OrmQ.objects.get().payload)["args"]
