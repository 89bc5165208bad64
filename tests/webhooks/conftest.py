"""Fixtures: an endpoint at a real server, a courier in this process, and jobs that end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkops import services
from bulkops.clock import ClockTimestamp
from bulkops.models import Cluster, Delivery, Endpoint, Job
from bulkops.states import JobState
from bulkops.webhooks import courier, registering
from bulkops.webhooks.models import CHOSEN
from tests.outbound.conftest import names, peers  # noqa: F401 - fixtures
from tests.peers import LOOPBACK, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.peers import Asked


@pytest.fixture
def site(settings: Any) -> Callable[..., None]:
    """Changes bulkops' settings; from the start, endpoints may be plain and on the loopback."""

    def change(**more: Any) -> None:
        settings.BULKOPS = settings.BULKOPS | more

    change(webhook_plain_http=True, webhook_private_networks=LOOPBACK, base_url="https://bulk.example.org")
    return change


class Receiver:
    """A server that answers as it is told, reply by reply; the last one stays."""

    def __init__(self, start: Any, replies: list[Reply]) -> None:
        self.replies = replies
        self.server = start(self._reply)
        self.url = f"{self.server.url}/hook?a=1"

    def _reply(self, asked: Asked) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    @property
    def asked(self) -> list[Asked]:
        return self.server.asked


@pytest.fixture
def receiver(peers: Any, site: Any) -> Callable[..., Receiver]:  # noqa: F811 - the fixture
    """Starts a server of statuses or replies."""

    def start(*replies: int | Reply) -> Receiver:
        return Receiver(peers, [one if isinstance(one, Reply) else Reply(one) for one in replies or (200,)])

    return start


@pytest.fixture
def endpoint(owner: Any, site: Any) -> Callable[..., Endpoint]:
    """Makes one of the owner's; for all events unless said otherwise."""

    def make(url: str, events: Any = CHOSEN, user: Any = None, **more: Any) -> Endpoint:
        return registering.create(owner=user or owner, url=url, events=events, **more)

    return make


@pytest.fixture
def deliver(transactional_db: None) -> Callable[[], int]:
    """Sends all that is due, and says how many attempts that were."""
    cluster = Cluster.objects.create(name="sender", alive_until="9999-01-01T00:00Z", workers=1, queues=["default"])

    def go() -> int:
        return courier.go_round(cluster.pk, stopping=lambda: False, linger_seconds=0.0)

    return go


@pytest.fixture
def ended(owner: Any, worker: Any) -> Callable[..., Job]:
    """A job of the owner's that has ended, completed unless items fail."""

    def run(items: Any = ("1", "2"), operation: str = "note", user: Any = None, **more: Any) -> Job:
        job = services.submit(user=user or owner, operation=operation, items=list(items), **more)
        done: Job = worker.finish(job)
        assert done.state in {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS, JobState.FAILED}
        return done

    return run


@pytest.fixture
def come_due() -> Callable[[], None]:
    """Lets the waits between attempts be over."""

    def now() -> None:
        Delivery.objects.filter(state="pending").update(due=ClockTimestamp())
        Endpoint.objects.update(not_before=None)

    return now
