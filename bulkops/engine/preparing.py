"""Collecting an operation's own items, or checking given ones, in a worker; commit by commit under a prepare epoch.

A restart raises the epoch and deletes what was collected: the author's `items` is asked anew. Given items are already
stored and are only checked. Only the job's first turn runs until the state flips to queued, in the last commit.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import F

from bulkops import events, holds, lineage, manifests, sources, transitions, uploaded_files
from bulkops.conf import conf
from bulkops.engine import finishing, hand, turns
from bulkops.engine.faults import Fault, classify, code_of, describe
from bulkops.engine.hand import Doing, Holding, InHand
from bulkops.engine.item_transaction import abandon
from bulkops.exceptions import BulkopsError, FenceLost, InvalidItems
from bulkops.models import Chunk, Job, Manifest
from bulkops.states import EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkops.engine.holder import Holder
    from bulkops.engine.turns import Taken
    from bulkops.manifests import Packed
    from bulkops.operation import Operation

_END = object()
NOTE_SECONDS = 0.05
COMMIT_SECONDS = 0.5
"""What was collected is committed about this often, so that the page's count moves."""


class Interrupted(BulkopsError):
    """Preparing was interrupted: the job or the worker is to stop."""


def prepare(job: Job, taken: Taken, operation: Operation, params: dict[str, Any], holder: Holder) -> None:
    """Bring a job from preparing to queued, or to failed with the reason; quietly leave it where it is to stop."""
    driver = connection.connection
    try:
        preparation = _Preparation(job, taken, operation, params, holder)
        if job.retry_items:
            preparation.take_again()
        elif job.collects:
            preparation.collect()
        else:
            preparation.check()
    except (Interrupted, FenceLost):
        return
    except BulkopsError as error:
        finishing.fail(taken, why(error), code_of(error))
    except BaseException as error:  # an author's `items` and forms may raise anything
        if classify(error, driver) is Fault.CONNECTION:
            raise
        if connection.in_atomic_block or connection.closed_in_transaction:
            abandon(connection)
        finishing.fail(taken, why(error), code_of(error))


def why(error: BaseException) -> str:
    """Why preparing failed, as the job says it."""
    if isinstance(error, BulkopsError):
        return f"Preparing failed: {error.message}"
    return f"Collecting the items failed: {describe(error)}"


class _Preparation:
    def __init__(self, job: Job, taken: Taken, operation: Operation, params: dict[str, Any], holder: Holder) -> None:
        self.job = job
        self.taken = taken
        self.operation = operation
        self.params = params
        self.holder = holder
        self.epoch = self._begin()
        self._noted_at = 0.0

    def _begin(self) -> int:
        with transaction.atomic():
            job = self._locked()
            if job.collects:
                Chunk.objects.filter(job=job).delete()
                Manifest.objects.filter(job=job).delete()
            Job.objects.filter(pk=job.pk).update(prepare_epoch=F("prepare_epoch") + 1, prepared=0)
            return job.prepare_epoch + 1

    def _locked(self) -> Job:
        """The job, locked, if it is still to be prepared and this worker's turn is still its own."""
        job = transitions.lock_job(self.job.pk)
        if job is None or job.state != JobState.PREPARING:
            raise Interrupted
        if turns.lock_own(job, self.taken) is None:
            raise FenceLost
        return job

    def _locked_in_this_epoch(self) -> Job:
        job = self._locked()
        if job.prepare_epoch != self.epoch:
            raise FenceLost
        return job

    def collect(self) -> None:
        """Store what `items` yields; the last commit makes the job queued."""
        with Holding(self._in_hand()):
            source = self.operation.items(self.params)
        items = self._watched(self._held(sources.read(source)))
        if self.job.limit is not None:
            items = itertools.islice(items, self.job.limit)
        valid = cleaned(self.operation, items, self.job.upload)
        self._store(manifests.pack(valid, most=self.operation.chunk_items, workers=self.job.parallelism))

    def take_again(self) -> None:
        """Store what is to be retried of the job's parent, as it was stored there: it was checked already."""
        items = self._watched(lineage.items_to_take(self.job))
        self._store(manifests.pack_again(items, most=self.operation.chunk_items, workers=self.job.parallelism))

    def _store(self, packed: Iterable[Packed]) -> None:
        total = 0
        for batch in _in_batches(packed):
            total += sum(chunk.size for chunk in batch)
            self._put_down()
            with transaction.atomic():
                self._locked_in_this_epoch()
                manifests.store(self.job.pk, batch)
                Job.objects.filter(pk=self.job.pk).update(prepared=total)
        self._end(total)

    def _in_hand(self) -> InHand:
        return InHand(doing=Doing.ITEMS, job_id=self.job.pk, limit_seconds=self.operation.item_timeout_seconds)

    def _held(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items, each step of getting one within its time limit.

        Noted again only some moments after the last time: most sources give thousands of items in between.
        """
        try:
            while True:
                if time.monotonic() - self._noted_at >= NOTE_SECONDS:
                    hand.note(self._in_hand())
                    self._noted_at = time.monotonic()
                item = next(items, _END)
                if item is _END:
                    return
                yield item
        finally:
            self._put_down()

    def _put_down(self) -> None:
        """What follows is no author's code."""
        hand.put_down()
        self._noted_at = 0.0

    def check(self) -> None:
        """Validate items that were given; the bad ones among them fail the job before any item runs."""
        errors: list[tuple[int | None, str | None, str]] = []
        position = 0
        numbers = list(Chunk.objects.filter(job=self.job).order_by("number").values_list("number", flat=True))
        for number in numbers:
            payload = Manifest.objects.values_list("payload", flat=True).get(pk=(self.job.pk, number))
            for item in self._watched(manifests.decode(payload), already=position):
                if len(errors) < conf().bad_items_named:
                    errors += _errors(self.operation, position, item, self.job.upload)
                position += 1
            with transaction.atomic():
                self._locked_in_this_epoch()
                Job.objects.filter(pk=self.job.pk).update(prepared=position)
        if errors:
            raise InvalidItems(_named(errors))
        self._end(position)

    def _end(self, total: int) -> None:
        with transaction.atomic():
            job = self._locked_in_this_epoch()
            transitions.move(job, JobState.QUEUED, total=total, prepared=total, took=self.job.took)
            events.record(job, EventKind.ITEMS_COLLECTED, detail=f"{total:,} {'item' if total == 1 else 'items'}")
            holds.send_turns(job, first=True)

    def _watched(self, items: Iterable[Any], already: int = 0) -> Iterator[Any]:
        """The items, while they are wanted: a slow source fills no chunk for long, and is told to stop all the same."""
        looked = time.monotonic()
        for count, item in enumerate(items, already + 1):
            if self.holder.draining():
                raise Interrupted
            if time.monotonic() - looked >= COMMIT_SECONDS:
                self._look(count)
                looked = time.monotonic()
            yield item

    def _look(self, count: int) -> None:
        """Show how far it is. Raises Interrupted where the job is no longer this worker's to prepare."""
        self._put_down()
        wanted = Job.objects.filter(pk=self.job.pk, state=JobState.PREPARING, prepare_epoch=self.epoch)
        if not wanted.update(prepared=count):
            raise Interrupted


def cleaned(operation: Operation, items: Iterable[Any], upload: str = "") -> Iterator[Any]:
    """The items as they came, each checked. Raises InvalidItems at the first bad one, naming its fields."""
    if operation.Item is None and not operation.takes_files:
        yield from items  # there is nothing to be checked
        return
    for position, item in enumerate(items):
        errors = _errors(operation, position, item, upload)
        if errors:
            raise InvalidItems(_named(errors))
        yield item


def _errors(operation: Operation, position: int, item: Any, upload: str) -> list[tuple[int | None, str | None, str]]:
    try:
        uploaded_files.clean_item(operation, item, upload)
    except InvalidItems as error:
        return [(position, field, text) for _, field, text in error.errors]
    return []


def _named(errors: list[tuple[int | None, str | None, str]]) -> str:
    lines = [
        f"item {position}{f', {field}' if field else ''}: {text}"
        for position, field, text in errors[: conf().bad_items_named]
    ]
    return f"{len(lines)} invalid item{'s' if len(lines) > 1 else ''}: " + "; ".join(lines)


def _in_batches(packed: Iterable[Packed]) -> Iterator[list[Packed]]:
    """Chunks as they come, together for as long as a commit may wait."""
    batch: list[Packed] = []
    since = time.monotonic()
    for chunk in packed:
        batch.append(chunk)
        if time.monotonic() - since >= COMMIT_SECONDS:
            yield batch
            batch, since = [], time.monotonic()
    if batch:
        yield batch
