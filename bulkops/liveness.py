"""Whether anybody is there to do the work: the question that page and API ask before they take a new job."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from bulkops.clock import from_now
from bulkops.conf import conf
from bulkops.exceptions import NoWorker
from bulkops.models import Cluster

NO_WORKER = _(
    "No worker is running, so a job would only wait. Tell your administrator; starting is possible again as soon as a "
    "worker runs."
)


def workers_missing() -> bool:
    """No cluster has given a sign of life for `no_worker_seconds`, by the database's clock.

    Also true where none ever ran: on a fresh install a job would wait without anybody knowing why.
    """
    return not Cluster.objects.filter(alive_until__gt=from_now(-conf().no_worker_seconds)).exists()


def require_worker() -> None:
    """Raises NoWorker where `workers_missing`."""
    if workers_missing():
        raise NoWorker(NO_WORKER)
