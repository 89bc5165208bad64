"""Items that come as a file, or as files, with a submission."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkops import batches, inputs, uploaded_files
from bulkops.api.problems import Problem, invalid
from bulkops.bounded_uploads import BoundedUpload
from bulkops.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rest_framework.request import Request

    from bulkops.operation import Operation

FIELD = "file"


@dataclass
class Given:
    """What the items are."""

    items: Iterable[Any] | None = None
    name: str = ""
    """What the input is called."""
    batch: str = ""
    """The folder of the files that the items are."""


def bound(request: Request) -> BoundedUpload:
    """Bound the request's files; before anything looks into its body, as the CSRF check does."""
    handler = BoundedUpload(request._request)  # noqa: SLF001 - DRF has no other name for Django's request
    request._request.upload_handlers.insert(0, handler)  # noqa: SLF001
    return handler


@contextmanager
def given(request: Request, operation: Operation, listed: list[Any] | None, dropped: str | None) -> Iterator[Given]:
    """The items of a submission: those in its body, or in its files. What was stored is deleted, unless a job took it.

    Raises a problem.
    """
    files = request.FILES.getlist(FIELD)
    others = sorted(set(request.FILES) - {FIELD})
    if others:
        raise invalid(f"#/{others[0]}", f"Files are sent as “{FIELD}”.")
    if dropped is not None:
        raise Problem("too-large", uploaded_files.too_large(dropped))
    if files and listed is not None:
        raise invalid(f"#/{FIELD}", "Send items or a file, not both.")
    if not files:
        yield Given(listed)
    elif operation.takes_files:
        with _stored(files) as found:
            yield found
    elif len(files) > 1:
        raise invalid(f"#/{FIELD}", "One file is read for its items; this operation takes no others.")
    else:
        try:
            yield Given(inputs.read_file(files[0], files[0].name or "", operation), files[0].name or "")
        except InputError as error:
            raise invalid(f"#/{FIELD}", error.message) from None


@contextmanager
def _stored(files: list[Any]) -> Iterator[Given]:
    batches.sweep()
    batch = uploaded_files.Batch()
    found = Given(batch=batch.id)
    try:
        for file in files:
            batch.add(file.name or "", file)
        found.items = batch.items
        found.name = batch.items[0]["name"] if len(batch.items) == 1 else f"{len(batch.items):,} files"
        yield found
    except BaseException:  # raised again; no file of a broken request stays
        uploaded_files.drop(batch.id)
        raise
    if not found.batch:  # given up by whoever asked for it
        uploaded_files.drop(batch.id)
