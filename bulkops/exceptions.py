"""Every error that bulkops raises on purpose; the docstring of a class is its default message.

`code` is the stable name that faces show to programs; attributes carry the data a face needs to answer well.
"""

from __future__ import annotations

import inspect
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkops.models import Job


LONGEST_WAIT_SECONDS = 24 * 3600.0
"""What another system may ask for; more would let a typing error there stop an item for good."""


class BulkopsError(Exception):
    """Something went wrong in bulkops."""

    code = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or "").splitlines()[0])

    @property
    def message(self) -> str:
        return str(self.args[0])


# -- raised at start-up, for authors of operations


class OperationMisdeclared(BulkopsError):
    """An operation is declared wrongly."""

    code = "operation-misdeclared"


class OperationAlreadyRegistered(OperationMisdeclared):
    """Another operation has this name already."""

    code = "operation-already-registered"


# -- raised by submit


class UnknownOperation(BulkopsError):
    """There is no such operation."""

    code = "unknown-operation"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no operation called “{name}”.")
        self.name = name


class NotPermitted(BulkopsError):
    """You may not do this."""

    code = "permission-denied"


class InvalidSubmission(BulkopsError):
    """The submission is not valid."""

    code = "validation"


class InvalidParams(InvalidSubmission):
    """The parameters are not valid."""

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        # What is wrong with several of them together has Django's own name, which says nothing to people.
        said = (("" if name == "__all__" else f"{name}: ", " ".join(texts)) for name, texts in errors.items())
        super().__init__("; ".join(begun + text for begun, text in said))
        self.errors = {name: list(texts) for name, texts in errors.items()}


class InvalidItems(InvalidSubmission):
    """The items are not valid.

    `errors` lists (position or None, field or None, text), at most the first hundred.
    """

    def __init__(self, message: str, errors: Sequence[tuple[int | None, str | None, str]] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


class InputError(InvalidItems):
    """The input cannot be read as items: wrong encoding, a ragged row, a missing column."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(
            gettext("Line %(line)s: %(message)s") % {"line": line, "message": message} if line else message
        )
        self.line = line


class ColumnsMissing(InputError):
    """The table lacks columns that the items need, or has several that could be the same.

    `missing` are the fields without a column of their own; `columns` are those to choose from.
    """

    def __init__(self, message: str, line: int | None, *, missing: Sequence[str], columns: Sequence[str]) -> None:
        super().__init__(message, line)
        self.missing, self.columns = list(missing), list(columns)


class InputTooLarge(InvalidItems):
    """The input is larger than the limit."""

    code = "too-large"


class FileRefused(InvalidItems):
    """This file may not be read."""

    code = "file-refused"

    def __init__(self, message: str) -> None:
        super().__init__(message, [(None, "file", message)])


class InvalidRate(InvalidSubmission):
    """This is no speed limit, or more than the operation's own."""


class ActiveJobExists(BulkopsError):
    """You already have an active job."""

    code = "active-job-exists"

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class IdempotencyKeyReused(BulkopsError):
    """This idempotency key was used for a different submission."""

    code = "idempotency-key-reused"


class InvalidIdempotencyKey(BulkopsError):
    """An idempotency key is 1 to 255 visible characters."""

    code = "invalid-idempotency-key"


class SubmissionBusy(BulkopsError):
    """Another submission of yours is being recorded; try again in a moment."""

    code = "idempotency-key-in-flight"


class NoWorker(BulkopsError):
    """No worker is running, so a job would only wait."""

    code = "no-worker"


class DryRunBusy(BulkopsError):
    """A dry run of yours is going on; wait until it has ended."""

    code = "dry-run-busy"


# -- raised by control


class NotAllowedNow(BulkopsError):
    """The job's state does not allow this now."""

    code = "not-allowed-now"

    def __init__(self, message: str | None = None, job: Job | None = None) -> None:
        super().__init__(message)
        self.job = job


# -- raised by the report


class InvalidReport(BulkopsError):
    """There is no such report."""

    code = "validation"


class ReportBroken(BulkopsError):
    """The job was deleted, or its items collected anew, while its report was written."""

    code = "report-broken"


# -- raised inside a worker


class FenceLost(BulkopsError):
    """Somebody else has this chunk; leave quietly."""

    code = "fence-lost"


class ItemsUnreadable(BulkopsError):
    """The stored items of a chunk cannot be read."""

    code = "items-unreadable"

    def __init__(self, number: int) -> None:
        super().__init__(f"The stored items of chunk {number} cannot be read; restore the table bulkops_manifest.")


class ItemSkipped(BulkopsError):
    """The operation skipped this item."""

    code = "skipped"


class InDoubt(BulkopsError):
    """The effect may or may not have happened; a person decides.

    Raised by authors for an unclear answer of another system.
    """

    code = "in-doubt"


class RetryAfter(BulkopsError):
    """The other system asks to be asked again later.

    Raised by authors for an answer such as 429 or 503, whether or not `retry_on` names it. `seconds` is how long to
    wait at least: a number, or what a Retry-After header says, as seconds or as a date (RFC 9110, section 10.2.3). What
    cannot be read counts as unknown, and the operation's `backoff` decides alone.
    """

    code = "retry-after"

    def __init__(self, seconds: float | str | None = None, message: str | None = None) -> None:
        super().__init__(message)
        self.seconds = _seconds_of(seconds)


def _seconds_of(given: float | str | None) -> float:
    try:
        seconds = float(given) if given is not None else 0.0
    except (TypeError, ValueError):
        try:
            seconds = (parsedate_to_datetime(str(given)) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else 0.0


class ItemTransactionBroken(BulkopsError):
    """The operation ended the item's transaction by itself."""

    code = "transaction-broken"


# -- raised by bulkops.testing


class NeedsTransactions(BulkopsError):
    """Each item commits by itself, which it cannot inside an open transaction.

    Mark the test with `@pytest.mark.django_db(transaction=True)`, or derive it from `TransactionTestCase`.
    """

    code = "needs-transactions"

    def __init__(self) -> None:
        super().__init__(
            "bulkops.testing.run commits each item, and this test stands in an open transaction: mark it with"
            " @pytest.mark.django_db(transaction=True), or derive it from django.test.TransactionTestCase."
        )


class CannotRun(BulkopsError):
    """The operation cannot be run in this test."""

    code = "cannot-run"


def plain(errors: Any) -> dict[str, list[str]]:
    """A form's errors as plain text lists, for messages and JSON."""
    return {name: [str(text) for text in texts] for name, texts in errors.items()}
