"""The list of jobs on our pages: what can be asked of it, and its pages. What the words mean, querysets.py says."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from bulkops import permissions, registry
from bulkops.conf import conf
from bulkops.models import Job
from bulkops.states import ACTIVE, ENDED, JobState
from bulkops.web import cards
from bulkops.web.guards import database_may_be_away, is_htmx, person_required

if TYPE_CHECKING:
    from django.http import HttpRequest

    from bulkops.querysets import JobQuerySet
    from bulkops.web.cards import Card

PAGE_SIZE = 25
FARTHEST_PAGE = 10_000
COUNTED = 10_000
"""Jobs found are counted up to here; beyond, nobody reads the number, and counting costs as much as the list."""
EVERYBODY = "all"
ACTIVE_ONES, ENDED_ONES = "active", "ended"


class Wanted(forms.Form):
    """What the list's address may say; each of it may be left out."""

    search = forms.CharField(required=False, max_length=200, label=_("Search"))
    state = forms.ChoiceField(
        required=False,
        choices=[
            ("", _("Any")),
            (ACTIVE_ONES, _("Active")),
            (ENDED_ONES, _("Ended")),
            *((state.value, capfirst(_(state.label))) for state in JobState),
        ],
        label=_("State"),
    )
    operation = forms.ChoiceField(required=False, label=_("Operation"))
    since = forms.DateField(required=False, label=_("Since"), widget=forms.DateInput(attrs={"type": "date"}))
    owner = forms.CharField(required=False, max_length=200, label=_("Owner"))
    page = forms.IntegerField(required=False, min_value=1, max_value=FARTHEST_PAGE, widget=forms.HiddenInput)

    def __init__(self, data: Any, user: Any) -> None:
        super().__init__(data)
        self.sees_all = permissions.may_see_all(user)
        runs = [one for one in registry.every() if self.sees_all or permissions.may_submit(user, one)]
        choices = {one.name: one.title for one in runs}
        # One that is gone, or that I may run no more, has jobs still; its own name tells nobody anything new.
        if asked := data.get("operation", "")[:100].replace("\x00", ""):
            choices.setdefault(asked, cards.operation_title(asked))
        self.fields["operation"] = forms.ChoiceField(
            required=False,
            label=_("Operation"),
            choices=[("", _("Any")), *sorted(choices.items(), key=lambda pair: pair[1])],
        )
        self.fields["search"].widget.attrs["placeholder"] = gettext("Name, id, tag or input file")
        self.fields["owner"].widget.attrs["placeholder"] = gettext("Me; a name, or “all”")
        if not self.sees_all:
            del self.fields["owner"]

    def of(self, jobs: JobQuerySet, user: Any) -> JobQuerySet:
        """Those of the jobs that were asked for; what could not be understood is as if it were not there."""
        self.is_valid()
        asked = self.cleaned_data
        owner = asked.get("owner") or ""
        if owner != EVERYBODY:
            jobs = jobs.owned_by_name(owner) if owner else jobs.owned_by(user)
        if states := _states(asked.get("state") or ""):
            jobs = jobs.in_any_state(states)
        if operation := asked.get("operation"):
            jobs = jobs.of_operation(operation)
        if since := asked.get("since"):
            jobs = jobs.created_since(timezone.make_aware(datetime.combine(since, time.min)))
        if search := asked.get("search"):
            jobs = jobs.found(search)
        return jobs

    def query(self, **changed: Any) -> str:
        """The address's query that says the same, without what says nothing."""
        asked = {name: value for name, value in (self.cleaned_data | changed).items() if value}
        if asked.get("page") == 1:
            del asked["page"]
        return urlencode(asked)


def _states(word: str) -> frozenset[str]:
    if word == ACTIVE_ONES:
        return frozenset(ACTIVE)
    return frozenset(ENDED) if word == ENDED_ONES else frozenset({word} if word else ())


@dataclass(frozen=True, kw_only=True)
class JobList:
    """One page of what was asked for."""

    form: Wanted
    cards: list[Card]
    count: int
    page: int
    whose: str
    """“mine”, “all”, or a user's name."""

    @classmethod
    def of(cls, request: HttpRequest) -> JobList:
        """The newest first; six queries, however many jobs there are."""
        form = Wanted(request.GET, request.user)
        found = form.of(Job.objects.visible_to(request.user), request.user)
        count = found.order_by()[: COUNTED + 1].count()
        page = form.cleaned_data.get("page") or 1
        jobs = found.select_related("owner").order_by("-created_at", "pk")[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return cls(
            form=form,
            cards=cards.of_many(jobs),
            count=count,
            page=page,
            whose=form.cleaned_data.get("owner") or "mine",
        )

    @property
    def counted(self) -> str:
        """How many were found, in words."""
        if self.count > COUNTED:
            return gettext("More than %(n)s jobs") % {"n": f"{COUNTED:,}"}
        return ngettext("%(n)s job", "%(n)s jobs", self.count) % {"n": f"{self.count:,}"}

    @property
    def narrowed(self) -> bool:
        """Whether something was asked for beside whose jobs and which page."""
        return any(value for name, value in self.form.cleaned_data.items() if name not in {"owner", "page"})

    @property
    def address(self) -> str:
        """The page that shows this list."""
        return self._at(self.page)

    @property
    def newer(self) -> str:
        return self._at(self.page - 1) if self.page > 1 else ""

    @property
    def older(self) -> str:
        return self._at(self.page + 1) if self.page * PAGE_SIZE < self.count else ""

    def _at(self, page: int) -> str:
        query = self.form.query(page=page)
        return reverse("bulkops:jobs") + (f"?{query}" if query else "")

    @property
    def seen(self) -> str:
        """What it tells; the same again need not be sent."""
        told = [f"{self.address} {self.count}"]
        told += [f"{one.job.pk}{one.job.state}{one.figures.processed}{one.figures.words}" for one in self.cards]
        return f"{zlib.crc32(''.join(told).encode()):08x}"

    @property
    def seconds(self) -> float:
        """How often to ask for news: often where something moves."""
        moves = any(one.job.is_active and one.job.state != JobState.PAUSED for one in self.cards)
        return conf().poll_seconds if moves else conf().poll_paused_seconds

    @property
    def poll(self) -> str:
        """The same, as htmx writes it."""
        return cards.interval(self.seconds)

    @property
    def poll_address(self) -> str:
        """Where to ask, saying what is known."""
        query = self.form.query(page=self.page, seen=self.seen)
        return f"{reverse('bulkops:jobs')}?{query}"

    @property
    def silence_class(self) -> str:
        return cards.silence_class(self.seconds)


@require_safe
@never_cache
@database_may_be_away
@person_required
def jobs(request: HttpRequest) -> HttpResponse:
    """My jobs, or for those who may see them everybody's; for htmx the list alone."""
    shown = JobList.of(request)
    # Going back with htmx on the page asks for the whole page, although it is htmx that asks.
    if not is_htmx(request) or "HX-History-Restore-Request" in request.headers:
        return render(request, "bulkops/jobs.html", {"list": shown, "form": shown.form})
    seen = request.GET.get("seen")
    if seen == shown.seen:
        return HttpResponse(status=204)
    context = {"list": shown, "form": shown.form, "asked": seen is None}
    response = render(request, "bulkops/_job_rows.html", context)
    if context["asked"]:
        # What was asked in the form, without its empty fields; news of the list leaves the tab's address alone.
        response["HX-Push-Url"] = shown.address
    return response
