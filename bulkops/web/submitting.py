"""The form of an operation, its preview, its trial, and the start of a job; refusals are pages in words.

htmx swaps 200, 409 and 422 only (see base.html), so that a proxy's own error page never lands in a page. Its requests
therefore get 422 where a plain one gets 403, 413 or 503.
"""

from __future__ import annotations

import itertools
import sys
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, RequestDataTooBig, TooManyFilesSent
from django.http import Http404
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from bulkops import (
    batches,
    inputs,
    liveness,
    lookahead,
    permissions,
    refusals,
    registry,
    services,
    uploaded_files,
    wording,
)
from bulkops.conf import conf
from bulkops.exceptions import (
    ActiveJobExists,
    BulkopsError,
    ColumnsMissing,
    InvalidItems,
    InvalidParams,
    UnknownOperation,
)
from bulkops.latencies import SUBMIT, timed
from bulkops.web import cards, fetch, file_batches, responses, trying_out, uploads
from bulkops.web.again import Again
from bulkops.web.forms import SubmitForms
from bulkops.web.guards import database_may_be_away, form_stays, is_htmx, person_required
from bulkops.web.starting import Promised, Start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse

    from bulkops.models import Job
    from bulkops.operation import Operation
    from bulkops.web.forms import Source

ERRORS_SHOWN = 10
SWAPPED = {HTTPStatus.OK, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}


@timed(SUBMIT, "page", method="POST")
@csrf_exempt  # checked in `_posted`: the uploads must be bounded before anything looks for the token in the body
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@form_stays
@database_may_be_away
@person_required
def operation(request: HttpRequest, name: str) -> HttpResponse:
    """The form of one operation, and what it is sent to."""
    try:
        found = registry.get(name)
    except UnknownOperation as unknown:
        raise Http404(unknown.message) from None
    if not permissions.may_submit(request.user, found):
        raise PermissionDenied(gettext("You may not run “%(title)s”.") % {"title": found.title})
    if request.method != "POST":
        again = Again.of(request.user, request.GET.get("again", ""), found)
        last = Again.last_run(request.user, found) if again is None else None
        return _form(request, found, SubmitForms(found, request, posted=False, again=again), last=last)
    bounded = uploads.bound(request)
    arrived = file_batches.bound(request) if found.takes_files else None
    try:
        response = _posted(request, found, bounded, arrived)
    except (RequestDataTooBig, TooManyFilesSent) as too_much:
        # Nothing of the body was kept, so the form comes back empty.
        words = gettext("The text is larger than %(mb)s MB; upload it as a file.")
        words %= {"mb": conf().body_bytes // (1024 * 1024)}
        if isinstance(too_much, TooManyFilesSent):
            words = uploaded_files.too_many()
        response = _form(request, found, SubmitForms(found, request, posted=False), problem=words, status=413)
    finally:
        if arrived is not None:
            arrived.discard()
    if is_htmx(request) and response.status_code not in SWAPPED:
        response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return response


@csrf_protect
def _posted(
    request: HttpRequest, found: Operation, bounded: uploads.BoundedUpload, arrived: file_batches.BatchUpload | None
) -> HttpResponse:
    again = Again.of(request.user, request.POST.get("again", ""), found)
    attempt = Attempt(request, found, SubmitForms(found, request, arrived=arrived, again=again))
    try:
        if _dropped(request, bounded) and "file" in attempt.forms.job.fields:
            attempt.field = "file"
            attempt.forms.refuse_large_file()
        return attempt.answer()
    except BulkopsError as error:  # NotPermitted too, as `authorize` judges what was typed: nothing of it is to be lost
        return attempt.refused(error)
    finally:
        attempt.forms.close()


def _dropped(request: HttpRequest, bounded: uploads.BoundedUpload) -> bool:
    """Whether a file was too large; known once the body was read, which asking for its files does."""
    return not request.FILES and bounded.dropped is not None


def _form(
    request: HttpRequest, found: Operation, forms: SubmitForms, *, key: str = "", status: int = 200, **more: Any
) -> HttpResponse:
    context = {
        "operation": found,
        "forms": forms,
        "key": key or str(uuid.uuid4()),
        "start": Start.of(request.user),
        "tries": conf().dry_run_items,
    }
    return render(request, "bulkops/operation.html", context | more, status=status)


@dataclass
class Attempt:
    """One sending of an operation's form."""

    request: HttpRequest
    operation: Operation
    forms: SubmitForms
    field: str = "items"
    """Where complaints about the items are shown."""
    source: Source | None = None

    def __post_init__(self) -> None:
        if self.operation.takes_files:
            self.field = file_batches.FIELD
        if self.forms.file is not None:
            self.field = "file"

    @property
    def key(self) -> str:
        return self.request.POST.get("idempotency_key", "")

    def answer(self) -> HttpResponse:
        """Preview, edit again or start, as the button that was pressed says."""
        valid = self.forms.is_valid()
        action = self.request.POST.get("action", "start")
        if not valid:
            spent = self._job_of_spent_form()
            if spent is not None:
                return responses.to_job(spent, self.request)
            if self.forms.answers:
                self.forms.ask_columns_again()
            return self.again(status=413 if self.forms.too_large else 422)
        if action == "edit":
            self.forms.ask_columns_again()
            return self.again(status=200)
        # Whatever no button of the form says starts nothing.
        return self.start() if action == "start" else self.preview(trying=action == "try")

    def start(self) -> HttpResponse:
        """Submit, and take the person to the job."""
        liveness.require_worker()
        source = self._given()
        job = services.submit(
            user=self.request.user,
            operation=self.operation.name,
            idempotency_key=self.key or None,
            **self._what(source.items if source else None, source.name if source else ""),
        )
        if source is not None and source.kept is not None:
            source.kept.drop()
        if job.replayed:
            self._say_replayed()
            if self.forms.batch is not None and self.forms.batch.batch != job.upload:
                batches.give_up(self.forms.batch.batch)
        return responses.to_job(job, self.request)

    def preview(self, *, trying: bool = False) -> HttpResponse:
        """Show the first rows and the count, or what would become of them; nothing but an uploaded file is kept."""
        source = self._given()
        head: list[Any] = []
        rows = _remembering(source.items, head) if source else None
        submission = services.check(
            user=self.request.user, operation=self.operation.name, **self._what(rows, source.name if source else "")
        )
        self._keep()
        if source is not None and source.upload:
            head = [uploaded_files.columns(item) for item in head]
        trial = trying_out.trial(submission) if trying else None
        total = submission.total
        if submission.collects:
            ahead = lookahead.look(self.operation, self.operation.clean_params(submission.params))
            limit = submission.limit or sys.maxsize
            head, total = ahead.head[:limit], None if ahead.total is None else min(ahead.total, limit)
        context = {
            "operation": self.operation,
            "forms": self.forms,
            "key": self.key or str(uuid.uuid4()),
            "start": Start.of(self.request.user, Promised(self.operation, total) if total else None),
            "counted": "" if total is None else wording.counted(self.operation, total),
            "total": total,
            "kept": self.forms.kept,
            "collects": submission.collects,
            "preview": inputs.Preview(head[:total], total) if total is not None else None,
            "reading": source.reading if source else None,
            "left": max(0, (total or 0) - len(head)),
            "limit": submission.limit,
            "params": self.operation.shown_params(submission.params),
            "tries": conf().dry_run_items,
            "trial": trial,
        }
        return render(self.request, "bulkops/preview.html", context, status=trial.status if trial else 200)

    def refused(self, error: BulkopsError) -> HttpResponse:
        """The form once more, with the refusal where it belongs. Raises an error that refuses nothing."""
        refusal = refusals.of(error)
        if refusal is None:
            raise error
        if isinstance(error, ActiveJobExists):
            return self.refused_for(error.job)
        if isinstance(error, ColumnsMissing):
            return self.ask(error)
        problem = ""
        if isinstance(error, InvalidParams):
            self.forms.add_errors(error.errors)
        elif isinstance(error, InvalidItems):
            self.complain(error)
        else:
            problem = gettext(refusal.on_form) if refusal.on_form else error.message
        return self.again(problem=problem, status=refusal.status, fresh_key=bool(refusal.on_form))

    def ask(self, missing: ColumnsMissing) -> HttpResponse:
        """The form once more, with a question for each field that no column was found for; the file is kept."""
        self.complain(missing)
        self._keep()
        self.forms.ask_columns(missing.missing, missing.columns)
        words = gettext("Not all columns were found. Choose below which one is %(fields)s.")
        return self.again(problem=words % {"fields": ", ".join(missing.missing)})

    def again(self, *, problem: str = "", status: int = 422, fresh_key: bool = False, **more: Any) -> HttpResponse:
        """The form once more, filled as it was; its key stays good, for nothing was started with it."""
        key = "" if fresh_key else self.key
        return _form(self.request, self.operation, self.forms, key=key, status=status, problem=problem, **more)

    def refused_for(self, job: Job) -> HttpResponse:
        """Another job of this user is active: which, how far it is, and how to stop it."""
        job = fetch.visible_job(self.request.user, job.pk)
        return self.again(status=409, refused=True, card=cards.of(job), controls=cards.controls(job, self.request.user))

    def complain(self, bad: InvalidItems) -> None:
        """Show what is wrong with the items next to where they were given; people count them from 1."""
        item = gettext("Item %(number)s")
        lines = [
            f"{item % {'number': position + 1}}{f', {field}' if field else ''}: {text}"
            for position, field, text in bad.errors
            if position is not None
        ]
        more = len(lines) - ERRORS_SHOWN
        for line in lines[:ERRORS_SHOWN] or [bad.message]:
            self.forms.job.add_error(self.field, line)
        if more > 0:
            self.forms.job.add_error(self.field, gettext("And %(more)s more.") % {"more": more})

    def _given(self) -> Source | None:
        self.source = self.forms.source()
        self.field = self.source.field if self.source else self.field
        return self.source

    def _keep(self) -> None:
        """Keep an uploaded file for the next sending."""
        if self.source is not None and self.source.file is not None:
            self.forms.kept = uploads.keep(self.source.file, self.request.user)

    def _what(self, items: Iterator[Any] | None, input_name: str) -> dict[str, Any]:
        asked = self.forms.job.cleaned_data
        return {
            "params": self.forms.stored_params(),
            "items": items,
            "limit": asked["limit"],
            "parallelism": asked.get("parallelism"),
            "rate_per_second": asked["rate_per_second"],
            "name": asked["name"],
            "email_at_end": asked.get("email_at_end", False),
            "input_name": input_name,
            "upload": self.source.upload if self.source else "",
        }

    def _job_of_spent_form(self) -> Job | None:
        """The job this very form made, where its uploaded file is gone because the job was started."""
        single = self.request.POST.get("upload") and self.forms.kept is None
        many = self.request.POST.get("batch") and self.forms.batch is None
        if not (single or many) or not self.key:
            return None
        spent = fetch.job_of_key(self.request.user, self.key)
        if spent is not None:
            self._say_replayed()
        return spent

    def _say_replayed(self) -> None:
        messages.info(
            self.request, gettext("This form was sent already; here is the job that it made. Use “Run again” for more.")
        )


def _remembering(items: Iterator[Any], head: list[Any]) -> Iterator[Any]:
    first = list(itertools.islice(items, conf().preview_items))
    head.extend(first)
    yield from first
    yield from items
