"""The contract an author of an operation fulfils, and the context that `process` is given.

An operation knows nothing of jobs, chunks or workers. Each class attribute below says its unit and default.
"""

from __future__ import annotations

import datetime as dt
import inspect
import json
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db import Error as DatabaseError
from django.utils import translation
from django.utils.translation import gettext

from bulkops import result_files, uploaded_files
from bulkops.conf import site_language
from bulkops.exceptions import InvalidItems, InvalidParams, InvalidRate, ItemSkipped, plain
from bulkops.storable import has_nul, strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from typing import IO
    from uuid import UUID

    from django.core.files.base import File

SLOWEST, FASTEST = 0.001, 100_000
"""Items per second that a speed limit can be: from one in a quarter of an hour on."""


class Context:
    """What `process` may know and say about the item in hand."""

    def __init__(
        self,
        *,
        job_id: UUID,
        position: int,
        attempt: int,
        root_job_id: UUID,
        root_position: int,
        say: Callable[[str], None],
        stop_asked: Callable[[], bool],
        upload: str = "",
    ) -> None:
        self.job_id = job_id
        self.position = position
        """The item's place in its job, from 0."""
        self.attempt = attempt
        """1 at the first try."""
        self._root = (root_job_id, root_position)
        self._say = say
        self._stop_asked = stop_asked
        self.upload = upload
        """The folder of the files that came with the job."""

    @property
    def key(self) -> str:
        """Stays the same over attempts, crashes and child jobs: hand it to other systems as idempotency key."""
        job, position = self._root
        return f"{job}:{position}"

    def skip(self, reason: str) -> NoReturn:
        """End this item as skipped, with the reason. What it wrote is rolled back."""
        raise ItemSkipped(reason)

    def message(self, text: str) -> None:
        """Show a text on the job's card; written at most once a second, so call it as often as you like."""
        self._say(text)

    def should_stop(self) -> bool:
        """True when the job was asked to stop or the worker is shutting down; for items that take long.

        Call it as often as you like.
        """
        return self._stop_asked()

    def open_file(self, item: Any) -> File:
        """The file that an item is, where the operation `takes_files`; close it. Raises FileRefused."""
        return uploaded_files.open_file(item, self.upload)

    def save_file(
        self, name: str, content: bytes | IO[bytes] | File, content_type: str = "", *, thumbnail: bool = False
    ) -> dict[str, Any]:
        """Store a file that this item makes; put what is returned into the item's result: `{"files": [...]}`.

        The same name again replaces it, so a repeated item leaves one file. Deleted together with the job.
        """
        return result_files.save(self.job_id, self.position, name, content, content_type, thumbnail=thumbnail)


class Operation:
    """One kind of work over many items. Subclass it, fill in `process`, and put `@register` above it."""

    name: ClassVar[str] = ""
    """Lower-case words joined by hyphens; stored with each job, part of its addresses."""
    permission: ClassVar[str | None] = None
    """"app.codename" that the owner must hold, at submit and at every slice; None: everyone who is logged in."""
    transactional: ClassVar[bool] = True
    """True: `process` runs inside the item's transaction and what it writes commits with the progress.
    False: it runs outside any transaction (for slow calls to other systems), then its outcome is committed."""
    max_attempts: ClassVar[int] = 3
    """How often an item is tried when it raises one of `retry_on`."""
    retry_on: ClassVar[tuple[type[Exception], ...]] = ()
    """Exceptions that are worth another attempt; all others fail the item at once."""
    backoff: ClassVar[tuple[float, float]] = (2.0, 300.0)
    """Seconds before the second attempt, doubling up to the second figure, give or take a quarter."""
    item_timeout_seconds: ClassVar[float] = 60.0
    """How long `process`, a step of `items` or `finish` may take; then its worker is killed, and the item has failed as
    timed out. 0: no limit."""
    max_crashes: ClassVar[int] = 3
    """How many workers an item may take with it (by a segmentation fault, say) before it has failed."""
    in_doubt: ClassVar[str] = "repeat"
    """What becomes of an item that was begun and whose end nobody knows, since its worker died, overstayed or lost its
    chunk. "repeat": it is tried again, with the same `context.key`. "hold": it is set aside as in doubt for a person to
    decide, at the price of one more commit an item; only where `transactional` is False."""
    durability: ClassVar[str] = "strict"
    """"strict": each item's commit is on disk before the next item begins. "relaxed": commits do not wait for the disk,
    which is faster; a crash of the database itself (not of a worker) may then repeat the last fraction of a second."""
    rate_per_second: ClassVar[float | None] = None
    """How many items all workers of a job together may begin per second; None: as fast as they go. It can be changed
    while the job runs."""
    max_failures: ClassVar[float | None] = None
    """Pause the job when so many items failed since it was last resumed, to look and go on: a count, or a share of the
    items tried such as 0.1, which counts past the first 20. None: never."""
    takes_files: ClassVar[bool] = False
    """True: its items are files. The page lets people choose many, the shell takes `--files`; `process` opens one with
    `context.open_file(item)`."""
    parallelism: ClassVar[int] = 1
    """The most workers a submitter may ask for."""
    chunk_items: ClassVar[int | None] = None
    """Items of one chunk at most, where that is fewer than the setting of this name: it is what a worker that dies may
    leave to another as a whole. A job for several workers is cut into more and smaller ones towards its end, so that
    all end together. None: the setting alone."""
    queue: ClassVar[str] = "default"
    """The queue whose workers run it."""
    secret: ClassVar[tuple[str, ...]] = ()
    """Names of parameters that are shown as ••• everywhere."""
    item_name: ClassVar[str] = "item"
    """What people call one of its items: "ticket"."""
    item_name_plural: ClassVar[str] = ""
    """What they call several: "entries". Empty: the other with an s."""
    effect: ClassVar[str] = "will be processed"
    """What becomes of the items, as the start button says it before: "1,204 tickets will change"."""

    Params: ClassVar[type[forms.Form] | None] = None
    """A form of the parameters; page, API and shell validate with it."""
    Item: ClassVar[type[forms.Form] | None] = None
    """A form of one item's fields: the CSV columns, and what `process` gets cleaned."""

    def items(self, params: dict[str, Any]) -> Iterable[Any]:
        """Where items come from when the user gives none; a queryset is read by keyset."""
        raise NotImplementedError

    def process(self, item: Any, params: dict[str, Any], context: Context) -> Any:
        """Do one item. What it returns, if JSON, is the item's result; what it raises fails the item."""
        raise NotImplementedError

    def authorize(self, user: Any, params: dict[str, Any]) -> None:
        """Raise `bulkops.NotPermitted`, with the reason, for a user who may not run it with these parameters.

        For what `permission` cannot tell. Asked at submit, and at every slice, where a refusal pauses the job.
        """

    def finish(self, params: dict[str, Any], summary: dict[str, int]) -> Any:
        """Runs once after the last item, in the transaction that ends the job. What it returns is the job's result."""

    def count_items(self, params: dict[str, Any]) -> int | None:
        """How many `items` would find, cheaply, for the page that asks whether to start; None: nobody can tell.

        Left out, a queryset is counted and a list measured, where that takes no longer than `count_seconds`. What is
        declared here is asked instead, and `items` is then left to the worker. It may only read.
        """

    # -- what the rest of bulkops asks an operation

    @property
    def title(self) -> str:
        """The name for people: “reprice-tickets” becomes “Reprice tickets”."""
        return self.name.replace("-", " ").capitalize()

    @property
    def description(self) -> str:
        """The class docstring's first paragraph."""
        return " ".join(inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0].split())

    @property
    def names_items(self) -> bool:
        """Whether its author said what people call its items."""
        return (self.item_name, self.item_name_plural) != (Operation.item_name, Operation.item_name_plural)

    def noun(self, number: int) -> str:
        """What so many of its items are called: “ticket”, “tickets”."""
        return str(self.item_name if number == 1 else self.item_name_plural or f"{self.item_name}s")

    def counted(self, number: int) -> str:
        """“1 ticket”, “1,204 tickets”."""
        return f"{number:,} {self.noun(number)}"

    @property
    def collects(self) -> bool:
        """Whether it finds its items itself."""
        return type(self).items is not Operation.items

    def clean_params(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The cleaned parameters. Raises InvalidParams; unknown names are errors too."""
        if self.Params is None:
            if data:
                raise InvalidParams({name: [gettext("This operation takes no such parameter.")] for name in data})
            return {}
        form = self.Params(data=dict(data))
        unknown = [name for name in data if name not in form.fields]
        if unknown:
            raise InvalidParams({name: [gettext("This operation takes no such parameter.")] for name in unknown})
        if failure := _failure(form):
            raise InvalidParams({"__all__": [failure]})
        if not form.is_valid():
            raise InvalidParams(plain(form.errors))
        return form.cleaned_data

    def as_given(self, form: forms.BaseForm) -> dict[str, Any]:
        """A valid Params form's values as JSON: cleaned where that is a plain value, as they were typed where not.

        A date or a time is written so that every language reads it alike, if its field takes that.
        """
        return {name: _given(form, name) for name in form.fields}

    def with_defaults(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Fill in the `initial` of parameters that a program left out; a page's form has them all."""
        if self.Params is None:
            return dict(data)
        form = self.Params()
        initial = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
        # A date or a decimal is no JSON; as text, its field reads it.
        given = {name: _as_json(value) for name, value in initial.items() if value is not None}
        return given | dict(data)

    def clean_item(self, item: Any) -> Any:
        """What `process` gets: the cleaned dict where there is an `Item` form. Raises InvalidItems."""
        if self.Item is None:
            return item
        if not isinstance(item, dict):
            raise InvalidItems(
                gettext("An item must have named fields."), [(None, None, gettext("not an object with named fields"))]
            )
        form = self.Item(data=item)
        if failure := _failure(form):
            raise InvalidItems(failure, [(None, None, failure)])
        if not form.is_valid():
            errors = [
                (None, None if field == "__all__" else field, " ".join(t)) for field, t in plain(form.errors).items()
            ]
            raise InvalidItems("; ".join(f"{field}: {text}" if field else text for _, field, text in errors), errors)
        return form.cleaned_data

    def item_fields(self) -> list[str]:
        """Names of the columns that an item must have; empty without an `Item` form."""
        if self.Item is None:
            return []
        return [name for name, field in self.Item().fields.items() if field.required]

    def shown_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as anybody may see them, in the form's order, which a jsonb column does not keep."""
        order = [name for name in self.Params.base_fields if name in params] if self.Params is not None else []
        names = dict.fromkeys([*order, *params])
        return {name: "•••" if name in self.secret else params[name] for name in names}


def is_rate(value: Any) -> bool:
    """Whether it can be a job's speed limit, in items per second."""
    return isinstance(value, int | float) and not isinstance(value, bool) and SLOWEST <= value <= FASTEST


def allowed_rate(operation: Operation | None, wanted: float | None) -> float | None:
    """A job's speed limit in items per second; the operation's own is the most, and what None stands for.

    Without an operation, as where its code is gone, only the number is judged. Raises InvalidRate.
    """
    if wanted is not None and not is_rate(wanted):
        raise InvalidRate(
            gettext("A speed limit is a number of items per second, from %(slowest)s to %(fastest)s.")
            % {"slowest": f"{SLOWEST:g}", "fastest": f"{FASTEST:,}"}
        )
    most = None if operation is None else operation.rate_per_second
    if most is None or wanted is None:
        return most if wanted is None else wanted
    if wanted > most:
        raise InvalidRate(
            gettext("This operation's speed is limited to %(most)s items per second.") % {"most": f"{most:g}"}
        )
    return wanted


def _as_workers_read() -> AbstractContextManager[None]:
    """A context in which dates and figures are read in the site's language, whatever that of a reader or program is.

    A worker reads them again, and knows no reader. What is wrong is put into words later, in the language of whoever
    sent them.
    """
    site = site_language()
    return nullcontext() if translation.get_language() == site else translation.override(site)


def _failure(form: forms.Form) -> str | None:
    """What a form raised instead of saying what is wrong, in words; validates the form.

    Fields are made for text: given a JSON number, a date field of Django's breaks, and that is the input's fault.
    """
    try:
        with _as_workers_read():
            form.is_valid()
    except DatabaseError:
        raise
    except Exception as error:  # an author's form may raise anything
        return gettext("These values could not be checked (%(error)s).") % {"error": type(error).__name__}
    return None


def _given(form: forms.BaseForm, name: str) -> Any:
    cleaned = form.cleaned_data.get(name)
    if _is_plain(cleaned):
        return cleaned
    if isinstance(cleaned, dt.date | dt.time):
        with suppress(Exception):  # an author's field may raise anything
            if form.fields[name].clean(cleaned.isoformat()) == cleaned:
                return cleaned.isoformat()
    return form[name].data


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str | int) for one in value)
    return value is None or isinstance(value, str | bool | int)


def _as_json(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float | list | dict) else str(value)


def storable_params(operation: Operation, data: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they are stored, after they were cleaned once. Raises InvalidParams."""
    operation.clean_params(data)
    stored, bad = {}, {}
    for name, value in data.items():
        if isinstance(value, UploadedFile):
            bad[name] = [gettext("A file cannot be a parameter.")]
            continue
        try:
            text = strict_json(value)
            text.encode()
        except (TypeError, ValueError, RecursionError):
            bad[name] = [gettext("This value cannot be stored as JSON.")]
            continue
        if has_nul(text):
            bad[name] = [gettext("This value holds a NUL character.")]
        stored[name] = json.loads(text)
    if bad:
        raise InvalidParams(bad)
    # Once more as the worker will get them: a date becomes text, and text must be what the form takes.
    operation.clean_params(stored)
    return stored
