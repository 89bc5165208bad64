"""The page between an admin action and its job: what will be changed, the operation's form, refusals in words."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from bulkops import idempotency, liveness, permissions, progress, refusals, registry, services, sources, transitions
from bulkops.conf import conf
from bulkops.exceptions import (
    ActiveJobExists,
    BulkopsError,
    IdempotencyKeyReused,
    InvalidItems,
    InvalidParams,
    UnknownOperation,
)
from bulkops.models import Job
from bulkops.operation import storable_params

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from bulkops.operation import Operation
    from bulkops.refusals import Refusal

NAMED = 5
"""Rows that the page names."""
SMALL_CHANGE = 10
"""The choice may have grown or shrunk by so many rows since it was counted on the page, or by a tenth, unasked."""


class JobForm(forms.Form):
    """What is asked beside the operation's own parameters."""

    limit = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        label="Only the first",
        help_text="Begin with a few, in the order of their ids; empty takes all of them.",
    )


class StartPage:
    """One showing or one sending of the page."""

    def __init__(
        self,
        model_admin: ModelAdmin,
        request: HttpRequest,
        rows: QuerySet,
        action: str,
        operation: Operation,
        item: Callable[[Any], Any] | None,
    ) -> None:
        self.model_admin, self.request, self.rows, self.action = model_admin, request, rows, action
        self.operation, self.item = operation, item
        self.user: Any = request.user
        self.sent = "job-start" in request.POST
        data = request.POST if self.sent else None
        self.job_form = JobForm(data, prefix="job")
        # Prefixed, so that a parameter may be called “action” or “index”, as fields of the admin's are.
        self.params = None if operation.Params is None else operation.Params(data, prefix="param")
        key = request.POST.get("job-key", "")
        self.key = key if idempotency.VISIBLE.fullmatch(key) else ""
        self.count = rows.count()

    def answer(self) -> HttpResponse | None:
        """The page, or the way to the job; None where there is nothing left to choose, with a message."""
        if not self.model_admin.has_change_permission(self.request):
            return self.page(403, gettext("You may not change %(rows)s.") % {"rows": self.plural}, closed=True)
        if not permissions.may_submit(self.user, self.operation):
            return self.page(
                403, gettext("You may not run “%(title)s”.") % {"title": self.operation.title}, closed=True
            )
        spent = self._job_of_key() if self.sent else None
        if spent is not None:
            return self._replay(spent)
        if self.count == 0:
            words = gettext("Nothing was started: none of the chosen %(rows)s is there any more.")
            self.model_admin.message_user(self.request, words % {"rows": self.plural}, messages.WARNING)
            return None
        return self._start() if self.sent else self.page()

    @property
    def plural(self) -> str:
        """What the rows are called."""
        return str(self.model_admin.opts.verbose_name_plural)

    @property
    def counted(self) -> str:
        """“1,204 tickets”."""
        return self._in_words(self.count)

    def _in_words(self, count: int) -> str:
        return f"{count:,} {self.model_admin.opts.verbose_name if count == 1 else self.plural}"

    # -- starting

    def _start(self) -> HttpResponse:
        if not self._is_valid():
            return self.page(422)
        if self.count > conf().file_items:
            words = gettext("%(rows)s are too many for one job; the most is %(most)s.")
            return self.page(413, words % {"rows": self.counted, "most": f"{conf().file_items:,}"})
        if words := self._changed_since_shown():
            return self.page(409, words)
        try:
            liveness.require_worker()
            return self._to_job(self._submit())
        except IdempotencyKeyReused:
            # A press at the same moment was faster, and its job may already have moved rows out of the choice.
            return self._replay(self._job_of_key())
        except BulkopsError as error:
            return self._refused(error)

    def _refused(self, error: BulkopsError) -> HttpResponse:
        refusal = refusals.of(error)
        if refusal is None:
            raise error
        if isinstance(error, ActiveJobExists):
            return self.page(refusal.status, refused=True)
        if isinstance(error, InvalidParams):
            self._complain(error.errors)
            return self.page(refusal.status)
        words = self._about_rows(error) if isinstance(error, InvalidItems) else _said(refusal, error)
        return self.page(refusal.status, gettext("Nothing was started. %(why)s") % {"why": words})

    def _submit(self) -> Job:
        metadata = {"model": self.model_admin.opts.label_lower}
        if self._is_across():
            metadata["filters"] = self.request.GET.urlencode()
        return services.submit(
            user=self.user,
            operation=self.operation.name,
            params=self._given(),
            items=self._items(),
            limit=self.job_form.cleaned_data["limit"],
            input_name=f"{self.plural} chosen in the admin",
            metadata=metadata,
            idempotency_key=self.key,
        )

    def _items(self) -> Iterable[Any]:
        """The keys as they are now, a page at a time, each made an item."""
        keys = sources.read(self.rows.order_by("pk").values_list("pk", flat=True))
        return keys if self.item is None else map(self.item, keys)

    def _is_valid(self) -> bool:
        return all([self.job_form.is_valid(), self.params is None or self.params.is_valid()])

    def _given(self) -> dict[str, Any]:
        return {} if self.params is None else self.operation.as_given(self.params)

    def _about_rows(self, bad: InvalidItems) -> str:
        """What is wrong with the items, said of the rows that they were made of."""
        first = [(at, field, text) for at, field, text in bad.errors[:NAMED] if at is not None]
        if not first:
            return bad.message
        rows, whole = self.rows.order_by("pk"), gettext("its item")
        named = " ".join(f"{row}: {field or whole}: {text}" for at, field, text in first for row in rows[at : at + 1])
        more = len(bad.errors) - len(first)
        return gettext("%(named)s And %(n)s more.") % {"named": named, "n": more} if more else named

    def _complain(self, errors: dict[str, list[str]]) -> None:
        for name, texts in errors.items():
            if self.params is not None and name in self.params.fields:
                self.params.add_error(name, texts)
            else:
                self.job_form.add_error(None, texts)

    def _changed_since_shown(self) -> str:
        """What to say where the choice is no longer about what the person saw; empty where it is."""
        try:
            shown = int(self.request.POST.get("job-count", ""))
        except ValueError:
            return gettext("Look at the choice once more, then start.")
        if abs(self.count - shown) <= max(SMALL_CHANGE, shown // 10):
            return ""
        words = gettext("The choice has changed: it was %(rows)s. Look at it once more, then start.")
        return words % {"rows": self._in_words(shown)}

    # -- a form that was sent before

    def _job_of_key(self) -> Job | None:
        """The job that this very form made; found by its key alone, for the job may have changed what is chosen."""
        mine = idempotency.remembered().filter(user=self.user, key=self.key)
        return Job.objects.filter(pk__in=mine.values("job")).first()

    def _replay(self, job: Job | None) -> HttpResponse:
        if job is None or not self._asks_for(job):
            self.key = ""
            return self._refused(IdempotencyKeyReused())
        job.replayed = True
        return self._to_job(job)

    def _asks_for(self, job: Job) -> bool:
        """Whether the form's values are those that the job was made with."""
        if job.operation != self.operation.name or not self._is_valid():
            return False
        try:
            params = storable_params(self.operation, self.operation.with_defaults(self._given()))
        except InvalidParams:
            return False
        return (job.params, job.limit) == (params, self.job_form.cleaned_data["limit"])

    def _to_job(self, job: Job) -> HttpResponse:
        if job.replayed:
            messages.info(self.request, gettext("This form was sent already; here is the job that it made."))
        else:
            if job.total is None:
                words = gettext("Started for the chosen %(rows)s.") % {"rows": self.plural}
            else:
                words = gettext("Started for %(rows)s.") % {"rows": self._in_words(job.total)}
            messages.success(self.request, words)
        return HttpResponseRedirect(job.get_absolute_url())

    # -- the page

    def page(self, status: int = 200, problem: str = "", *, refused: bool = False, closed: bool = False) -> Any:
        """The page; nothing was started. Where it is closed there is no form, since sending it could not help."""
        active = None if closed else Job.objects.filter(slot=transitions.user_slot(self.user)).first()
        admin = self.model_admin
        context = {
            **admin.admin_site.each_context(self.request),
            "title": self.operation.title,
            "opts": admin.opts,
            "media": admin.media if self.params is None else admin.media + self.params.media,
            "operation": self.operation,
            "action": self.action,
            "changelist": self.request.get_full_path(),
            "problem": problem,
            "closed": closed,
            "refused": refused,
            "active": active,
            "active_title": _title(active),
            "active_percent": None if active is None else progress.of(active).percent,
            "no_worker": "" if problem or not liveness.workers_missing() else gettext(liveness.NO_WORKER),
            "wrong": bool(self.job_form.errors or (self.params is not None and self.params.errors)),
            "key": self.key or str(uuid.uuid4()),
            "count": self.count,
            "counted": self.counted,
            "named": [str(row) for row in self.rows.order_by("pk")[:NAMED]] if not closed else [],
            "more": self.count - NAMED,
            "across": self._is_across(),
            "checkbox": ACTION_CHECKBOX_NAME,
            "chosen": self._chosen(),
            "forms": [_as_admin_form(form) for form in (self.params, self.job_form) if form is not None],
        }
        self.request.current_app = admin.admin_site.name
        return TemplateResponse(self.request, "bulkops/start_from_admin.html", context, status=status)

    def _is_across(self) -> bool:
        """Whether “select all” was chosen, over more than the rows of the page."""
        return bool(forms.BooleanField(required=False).to_python(self.request.POST.get("select_across")))

    def _chosen(self) -> list[str]:
        """The ticked rows' keys that the form carries: one stands for all where the query says which."""
        if self._is_across():
            return self.request.POST.getlist(ACTION_CHECKBOX_NAME)[:1]
        return [str(key) for key in self.rows.order_by("pk").values_list("pk", flat=True)]


def _said(refusal: Refusal, error: BulkopsError) -> str:
    return gettext(refusal.on_form) if refusal.on_form else error.message


def _title(job: Job | None) -> str:
    if job is None:
        return ""
    try:
        return job.name or registry.get(job.operation).title
    except UnknownOperation:
        return job.operation


def _as_admin_form(form: Any) -> AdminForm:
    return AdminForm(form, [(None, {"fields": list(form.fields)})], {})
