"""The metrics, read from the tables at each scrape: whichever web process is asked, it tells the same.

Names and units are Prometheus' own conventions: seconds, and `_total` for what only grows. What is counted comes from
the running totals; what is the case now comes from the rows of active jobs, queues and workers. No query reads
outcomes, and how many there are does not depend on how much there is.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from django.db.models import Count as Number
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from bulkops import diagnosis, histograms, registry, totals
from bulkops.histograms import MICROSECONDS
from bulkops.models import Delivery, Job
from bulkops.states import ENDED, JobState
from bulkops.tallies import Count
from bulkops.webhooks.models import DeliveryState, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from bulkops.diagnosis import Diagnosis

HISTOGRAMS = {
    "item": (
        "bulkops_item_duration_seconds",
        "Time of an item from its begin to its commit",
        ("operation",),
        histograms.ITEM_SECONDS,
    ),
    "slice": (
        "bulkops_slice_duration_seconds",
        "Time that a worker stayed with a job",
        ("operation",),
        histograms.SLICE_SECONDS,
    ),
    "poll": (
        "bulkops_poll_duration_seconds",
        "Time of an answer to a poll for a job's status",
        ("face",),
        histograms.REQUEST_SECONDS,
    ),
    "submit": (
        "bulkops_submit_duration_seconds",
        "Time of an answer to a submission, refusals and previews too",
        ("face",),
        histograms.REQUEST_SECONDS,
    ),
    "webhook_attempt": (
        "bulkops_webhook_attempt_duration_seconds",
        "Time of an attempt to deliver a webhook or an e-mail",
        ("kind", "result"),
        histograms.CALL_SECONDS,
    ),
}
COUNTERS = {
    "jobs_ended": ("bulkops_jobs_ended", "Jobs that ended, by the state they ended in", ("operation", "state")),
    "rescue": ("bulkops_rescues", "Times that work of a lost worker or host was taken back", ("operation",)),
    "fence_lost": (
        "bulkops_fences_lost",
        "Times that a worker found that its chunk had been taken over",
        ("operation",),
    ),
    "webhook_given_up": ("bulkops_webhook_deliveries_failed", "Deliveries that were given up", ("kind",)),
}


class DatabaseCollector(Collector):
    """Asks the database at each scrape; raises what the database raises."""

    def collect(self) -> Iterable[Metric]:
        """Each family once, also where it has no value yet."""
        yield from _counted(_from_zero(totals.read()))
        yield from _jobs()
        yield from _vitals(diagnosis.vitals())
        yield from _deliveries()

    def describe(self) -> Iterable[Metric]:
        """Nothing: else registering would ask the database."""
        return ()


def _from_zero(found: list[Count]) -> list[Count]:
    """With a 0 for what may happen and has not yet: to Prometheus the first time is no increase of nothing."""
    zeros = [Count("webhook_given_up", (kind,), (0,)) for kind in Kind.values]
    for operation in registry.every():
        zeros.append(Count(totals.ITEMS, (operation.name,), (0,) * len(totals.SETTLED)))
        zeros += (Count(name, (operation.name,), (0,)) for name in ("rescue", "fence_lost"))
        zeros += (Count(totals.JOBS_ENDED, (operation.name, state.value), (0,)) for state in sorted(ENDED))
    known = {(one.name, one.labels) for one in found}
    return [*found, *(zero for zero in zeros if (zero.name, zero.labels) not in known)]


def _counted(found: list[Count]) -> Iterator[Metric]:
    items = CounterMetricFamily(
        "bulkops_items", "Items processed, by what became of them", labels=("operation", "outcome")
    )
    doubts = GaugeMetricFamily(
        "bulkops_items_in_doubt", "Items that may have happened and wait for a person", labels=("operation",)
    )
    counters = {name: CounterMetricFamily(full, words, labels=of) for name, (full, words, of) in COUNTERS.items()}
    durations = {
        name: HistogramMetricFamily(full, words, labels=of) for name, (full, words, of, _) in HISTOGRAMS.items()
    }
    for one in found:
        if one.name == totals.ITEMS:
            for state, number in zip(totals.SETTLED, one.counts, strict=True):
                items.add_metric((*one.labels, state.value), number)
        elif one.name == totals.IN_DOUBT:
            # Those of jobs that ended before there were totals are taken off all the same when they are settled.
            doubts.add_metric(one.labels, max(0, one.counts[0]))
        elif one.name in counters:
            counters[one.name].add_metric(one.labels, one.counts[0])
        elif one.name in durations:
            durations[one.name].add_metric(one.labels, _buckets(one), one.microseconds / MICROSECONDS)
    yield items
    yield doubts
    yield from counters.values()
    yield from durations.values()


def _buckets(measured: Count) -> list[tuple[str, float]]:
    bounds = (*(str(bound) for bound in HISTOGRAMS[measured.name][3]), "+Inf")
    return list(zip(bounds, accumulate(measured.counts), strict=True))


def _jobs() -> Iterator[Metric]:
    jobs = GaugeMetricFamily("bulkops_jobs", "Active jobs by state", labels=("operation", "state"))
    counted = Job.objects.active().values_list("operation", "state").annotate(number=Number("pk")).order_by()
    for operation, state, number in counted:
        jobs.add_metric((operation, JobState(state).value), number)
    yield jobs


def _vitals(now: Diagnosis) -> Iterator[Metric]:
    alive = [cluster for cluster in now.clusters if cluster.alive]
    yield GaugeMetricFamily("bulkops_clusters_alive", "Worker clusters that are alive", value=len(alive))
    workers = sum(cluster.workers for cluster in alive)
    yield GaugeMetricFamily("bulkops_workers_alive", "Workers of living clusters", value=workers)
    busy = sum(cluster.busy for cluster in alive)
    yield GaugeMetricFamily("bulkops_workers_busy", "Workers that have a turn of a job in hand", value=busy)
    yield GaugeMetricFamily("bulkops_jobs_stalled", "Jobs that should move and do not", value=len(now.stalled))

    waiting = {queue.name: queue for queue in now.queues}
    serving: Counter[str] = Counter()
    for cluster in alive:
        serving.update(dict.fromkeys(cluster.queues, cluster.workers))
    depth = GaugeMetricFamily("bulkops_queue_depth", "Turns that are due and not taken", labels=("queue",))
    oldest = GaugeMetricFamily("bulkops_queue_oldest_wait_seconds", "Age of the oldest of them", labels=("queue",))
    served = GaugeMetricFamily("bulkops_queue_workers", "Living workers that serve the queue", labels=("queue",))
    for name in sorted(waiting.keys() | serving.keys()):
        news = waiting.get(name)
        depth.add_metric((name,), news.depth if news else 0)
        oldest.add_metric((name,), news.oldest_wait_seconds if news else 0)
        served.add_metric((name,), serving[name])
    yield from (depth, oldest, served)


def _deliveries() -> Iterator[Metric]:
    pending = GaugeMetricFamily(
        "bulkops_webhook_deliveries_pending", "Deliveries that wait for an attempt", labels=("kind",)
    )
    waiting = Delivery.objects.filter(state=DeliveryState.PENDING)
    found = dict(waiting.values_list("endpoint__kind").annotate(number=Number("pk")).order_by())
    for kind in Kind.values:
        pending.add_metric((kind,), found.get(kind, 0))
    yield pending
