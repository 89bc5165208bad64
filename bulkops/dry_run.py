"""A dry run: the first items of a checked submission are tried as a worker would, and nothing of it is kept.

Everything happens in one transaction that is rolled back, each item in a savepoint of it, so that the outcomes are
those of a job: the same cleaning, the same classification, and constraints that a job checks at COMMIT are checked too.
Files that `context.save_file` stored are deleted. Hooks that wait for the commit do not run, nor does `finish`. What a
transaction does not undo is done: numbers drawn from sequences, and effects elsewhere, which is why an operation
outside transactions is not tried at all.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.utils.translation import gettext, gettext_noop

from bulkops import manifests, result_files, sources, storable, uploaded_files
from bulkops.conf import conf
from bulkops.engine import preparing
from bulkops.engine.faults import Fault, classify, describe, sqlstate
from bulkops.engine.item_transaction import abandon
from bulkops.engine.results import failure, success
from bulkops.engine.uncommitted import LOCK_SECONDS, UncommittedTransaction, Unfinished
from bulkops.exceptions import BulkopsError, DryRunBusy
from bulkops.operation import Context
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.engine.statements import Result
    from bulkops.services import Submission

ASK_AGAIN_SECONDS = 0.05
NOT_TRIED = "not_tried"
LABELS = {
    OutcomeState.SUCCEEDED.value: "succeeded",
    OutcomeState.SKIPPED.value: "skipped",
    OutcomeState.FAILED.value: "failed",
    OutcomeState.IN_DOUBT.value: "in doubt",
    OutcomeState.DEFERRED.value: gettext_noop("would be tried again"),
    NOT_TRIED: gettext_noop("not tried"),
}
OUTSIDE = gettext_noop(
    "The items were not run: this operation works outside transactions, so what it does could not be undone. Try it"
    " with a job of one item instead."
)
_READ_ONLY = "25006"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One item, and what would become of it."""

    position: int
    item: Any
    state: str
    """One of LABELS."""
    error_code: str = ""
    message: str = ""
    """The error, the reason for skipping, or why it was not tried, in words."""
    result: Any = None
    said: str = ""
    """The last `context.message`."""

    @property
    def label(self) -> str:
        return LABELS[self.state]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        names = ("position", "item", "state", "result", "error_code", "message", "said")
        return {name: getattr(self, name) for name in names}


@dataclass
class DryRun:
    """What a dry run found out."""

    items: list[Any] = field(default_factory=list)
    """The first items, as they would be stored."""
    tried: list[Tried] = field(default_factory=list)
    """What would become of each; empty where they were not run."""
    why_not: str = ""
    """Why the items were not run."""
    problem: str = ""
    """Why the job would fail before any item ran, as the job would say it."""


def run(submission: Submission, *, most: int | None = None) -> DryRun:
    """Try the first `most` items, at most `dry_run_items` and the submission's own limit, and keep nothing.

    Takes up to `dry_run_seconds`, and longer only where an item's own code, not the database, takes longer. A user has
    one dry run at a time: raises DryRunBusy. A connection that is lost raises what the database driver said.
    """
    count = min(one for one in (most, conf().dry_run_items, submission.limit) if one is not None)
    runner = _Runner(submission, count)
    try:
        return runner.run()
    finally:
        if submission.operation.transactional:
            result_files.delete_files(job_id=runner.job_id)


class _Runner:
    def __init__(self, submission: Submission, count: int) -> None:
        self.submission = submission
        self.operation = submission.operation
        self.params = submission.operation.clean_params(submission.params)
        self.count = count
        self.job_id = result_files.id_of_a_dry_run()
        self.deadline = time.monotonic() + conf().dry_run_seconds

    def run(self) -> DryRun:
        found = DryRun()
        with self._nothing_kept():
            try:
                found.items = self._first_items()
            except _Unprepared as why:
                found.problem, found.why_not = (why.message, "") if why.would_fail else ("", why.message)
                return found
            if not self.operation.transactional:
                found.why_not = gettext(OUTSIDE)
                return found
            waiting = deque(enumerate(found.items))
            self._try_all(waiting, found.tried)
        while waiting and not connection.in_atomic_block:  # an item broke the transaction of the others
            try:
                with self._nothing_kept():
                    self._try_all(waiting, found.tried)
            except DryRunBusy:
                # The server may not know yet of a connection that the item has closed, and keeps our own lock for it.
                if time.monotonic() >= self.deadline:
                    break
                time.sleep(ASK_AGAIN_SECONDS)
        found.tried += [
            _not_tried(*one, gettext("An item before it ended the dry run's transaction.")) for one in waiting
        ]
        return found

    @contextmanager
    def _nothing_kept(self) -> Iterator[None]:
        """A transaction, or a host's savepoint, that is rolled back; one at a time for each user."""
        was_inside = connection.in_atomic_block
        try:
            with transaction.atomic():
                try:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_lock_of(self.submission.user)])
                        (mine,) = cursor.fetchone()
                    if not mine:
                        raise DryRunBusy(gettext("A dry run of yours is going on; wait until it has ended."))
                    yield
                finally:
                    if connection.in_atomic_block:
                        transaction.set_rollback(True)
        finally:
            if connection.in_atomic_block and not was_inside:  # of a block that an item left open
                abandon(connection)

    # -- the items

    def _first_items(self) -> list[Any]:
        """As a worker would read them back. Raises _Unprepared."""
        if not self.submission.collects:
            chunks = (manifests.decode(chunk.payload) for chunk in self.submission.packed)
            return list(itertools.islice(itertools.chain.from_iterable(chunks), self.count))
        driver = connection.connection
        try:
            with self._rolled_back() as watched:
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL transaction_read_only = on")
                with connection.execute_wrapper(watched.watch):
                    source = sources.read(self.operation.items(self.params))
                    valid = preparing.cleaned(self.operation, source, self.submission.upload)
                    items = [*itertools.islice(valid, self.count)]
            return [item for chunk in manifests.pack(items) for item in manifests.decode(chunk.payload)]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an author's `items` and forms may raise anything
            if classify(error, driver) is Fault.CONNECTION:
                raise
            raise _Unprepared(error) from error

    # -- trying them

    def _begin(self) -> UncommittedTransaction:
        """Limit the statements that follow in the transaction, and have the database refuse its commit."""
        left = max(0.001, self.deadline - time.monotonic())
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
                [f"{int(left * 1000) + 1}ms", f"{int(LOCK_SECONDS * 1000)}ms"],
            )
        return UncommittedTransaction(self.job_id, self.deadline)

    @contextmanager
    def _rolled_back(self) -> Iterator[UncommittedTransaction]:
        """A savepoint in which the database refuses a commit, rolled back at the end."""
        with transaction.atomic():
            watched = self._begin()
            try:
                yield watched
            except BaseException as error:  # an item's, judged and raised again
                watched.judge(error)
                raise
            transaction.set_rollback(True)

    def _try_all(self, waiting: deque[tuple[int, Any]], tried: list[Tried]) -> None:
        """Try what waits, until an item has broken the transaction."""
        driver, depth = connection.connection, len(connection.savepoint_ids)
        while waiting:
            tried.append(self._try(*waiting.popleft()))
            if connection.needs_rollback or connection.closed_in_transaction or connection.connection is not driver:
                return
            if len(connection.savepoint_ids) != depth:
                return

    def _try(self, position: int, item: Any) -> Tried:
        said: list[str] = []
        for attempt in range(1, conf().transient_attempts + 1):
            if time.monotonic() >= self.deadline:
                words = gettext("The %(n)s s that a dry run may take were over.")
                return _not_tried(position, item, words % {"n": f"{conf().dry_run_seconds:g}"})
            driver = connection.connection
            try:
                outcome = self._once(item, self._context(position, said))
            except Unfinished as unfinished:
                return _not_tried(position, item, unfinished.message)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # an item's code may raise anything
                fault = classify(error, driver)
                if fault is Fault.CONNECTION:
                    raise
                if fault is not Fault.ITEM and attempt < conf().transient_attempts and not connection.needs_rollback:
                    continue
                outcome = failure(self.operation, error, attempt=1)
            break
        return _tried(position, item, outcome, said)

    def _once(self, item: Any, context: Context) -> Result:
        """Raises what the item raised, or Unfinished; its writes are rolled back in any case."""
        with self._rolled_back() as watched:
            with connection.execute_wrapper(watched.watch):
                # In here too: what is lazy, or has a text of its own, may ask the database only now.
                result = success(self._process(item, context))
            if watched.unfinished is None:
                watched.check()
        if watched.unfinished is not None:
            raise watched.unfinished
        return result

    def _process(self, item: Any, context: Context) -> Any:
        cleaned = uploaded_files.clean_item(self.operation, item, self.submission.upload)
        return self.operation.process(cleaned, self.params, context)

    def _context(self, position: int, said: list[str]) -> Context:
        return Context(
            job_id=self.job_id,
            position=position,
            attempt=1,
            root_job_id=self.job_id,
            root_position=position,
            say=said.append,
            stop_asked=lambda: False,
            upload=self.submission.upload,
        )


class _Unprepared(BulkopsError):
    """The first items cannot be had: the job would fail, or nobody can tell."""

    def __init__(self, error: BaseException) -> None:
        self.would_fail = False
        if isinstance(error, Unfinished):
            words = gettext("Collecting the first items was given up.") + f" {error.message}"
        elif sqlstate(error) == _READ_ONLY:
            told = gettext("`items` writes to the database, and a dry run lets it only read.")
            words = f"{told} {describe(error)}"
        else:
            self.would_fail = True
            words = preparing.why(error)
        super().__init__(storable.text(words, conf().message_chars))


def _tried(position: int, item: Any, outcome: Result, said: list[str]) -> Tried:
    return Tried(
        position=position,
        item=item,
        state=outcome.state.value,
        error_code=outcome.error_code,
        message=outcome.message,
        result=None if outcome.result is None else json.loads(outcome.result),
        said=storable.text(said[-1], conf().message_chars) if said else "",
    )


def _not_tried(position: int, item: Any, why: str) -> Tried:
    return Tried(position=position, item=item, state=NOT_TRIED, message=why)


def _lock_of(user: Any) -> int:
    """The advisory lock's number: 64 bits, signed."""
    digest = hashlib.sha256(f"bulkops dry run of {user.pk}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
