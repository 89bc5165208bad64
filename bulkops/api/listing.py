"""The list of jobs: what can be asked for, and its pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from rest_framework.settings import api_settings

from bulkops import progress
from bulkops.api import statuses
from bulkops.api.problems import Problem
from bulkops.models import Job
from bulkops.states import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from rest_framework.request import Request

PAGE_SIZE, LARGEST_PAGE = 50, 200
FARTHEST_PAGE = 1_000_000
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
ORDERS = ("created_at", "started_at", "finished_at", "name", "operation", "state")


class Moment(forms.Field):
    """A date with its time and zone, as RFC 3339 has them, within what PostgreSQL reads."""

    def to_python(self, value: Any) -> datetime | None:
        if value is None:
            return None
        try:
            text = value.replace(" ", "+")  # as answers have it, and as it reads where nobody escaped it
            if not RFC_3339.fullmatch(text):
                raise ValueError
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError("A moment looks like 2030-01-31T12:00:00Z.") from None


class MomentFilter(django_filters.Filter):
    field_class = Moment


class JobFilter(django_filters.FilterSet):
    """What the list's address may say."""

    # One column of one table: nothing comes twice, and DISTINCT would sort all that is found for each page.
    state = django_filters.MultipleChoiceFilter(
        choices=JobState.choices, distinct=False, help_text="May stand there several times."
    )
    operation = django_filters.CharFilter()
    tag = django_filters.CharFilter(method="tagged")
    owner = django_filters.CharFilter(method="owned", help_text="A user's name.")
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lt")
    search = django_filters.CharFilter(
        method="found", help_text="In name, id, operation, owner, tag or input file name."
    )
    ordering = django_filters.OrderingFilter(fields=[(name, name) for name in ORDERS])

    class Meta:
        model = Job
        fields = ()

    def tagged(self, jobs: Any, _name: str, value: str) -> QuerySet[Job]:
        return jobs.tagged(value)

    def owned(self, jobs: Any, _name: str, value: str) -> QuerySet[Job]:
        return jobs.owned_by_name(value)

    def found(self, jobs: Any, _name: str, value: str) -> QuerySet[Job]:
        return jobs.found(value)


class Whole(forms.IntegerField):
    """A whole number, or nothing said of it; an empty text is neither."""

    empty_values: Any = [None]  # noqa: RUF012 - Django's way

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)


class PageForm(forms.Form):
    """Which page."""

    page = Whole(min_value=1, max_value=FARTHEST_PAGE)
    page_size = Whole(min_value=1, max_value=LARGEST_PAGE)


class PositionForm(forms.Form):
    """Where a list by keyset goes on."""

    after = Whole(min_value=-1, max_value=2**63 - 1)
    page_size = Whole(min_value=1, max_value=LARGEST_PAGE)


def only(request: Request, *names: str) -> None:
    """Raises a problem for other parameters: a filter, or a dry run, that is misspelt must not be left out."""
    unknown = set(request.query_params) - {*names, api_settings.URL_FORMAT_OVERRIDE}
    if unknown:
        detail = f"There is no such parameter; there are {', '.join(names)}."
        errors = [{"pointer": "#", "parameter": name, "detail": detail} for name in sorted(unknown)]
        raise Problem("validation", "The address asks for something that there is not.", errors=errors)


def asked(form: type[forms.Form], request: Request) -> dict[str, Any]:
    """What the address says, checked. Raises a problem."""
    return checked(form(request.query_params))


def checked(form: Any) -> dict[str, Any]:
    """Raises a problem that names each parameter."""
    if not form.is_valid():
        raise Problem("validation", "The address asks for something that there is not.", errors=list(_faults(form)))
    return form.cleaned_data


def _faults(form: Any) -> Iterable[dict[str, str]]:
    for name, texts in form.errors.items():
        yield {"pointer": "#", "parameter": name, "detail": " ".join(map(str, texts))}


def page_of_jobs(request: Request) -> dict[str, Any]:
    """One page of the jobs that the user may see."""
    only(request, *JobFilter.base_filters, *PageForm.base_fields)
    jobs = Job.objects.visible_to(request.user)
    wanted = asked(PageForm, request)
    filtered = JobFilter(request.query_params, queryset=jobs)
    checked(filtered.form)
    found = filtered.qs
    number, size = wanted["page"] or 1, wanted["page_size"] or PAGE_SIZE
    count = found.order_by().count()
    first = (number - 1) * size
    if number > 1 and first >= count:
        raise Problem("not-found", "There is no such page.")
    order = found.query.order_by or ("-created_at",)
    shown = list(found.select_related("owner").order_by(*order, "pk")[first : first + size])
    figures = progress.of_many(shown)
    return {
        "count": count,
        "next": page_url(request, page=number + 1) if first + size < count else None,
        "previous": page_url(request, page=number - 1) if number > 1 else None,
        "results": [statuses.resource(request, job, figures[job.pk]) for job in shown],
    }


def page_url(request: Request, **changed: object) -> str:
    """This address with other parameters."""
    query = request.query_params.copy()
    for name, value in changed.items():
        query[name] = str(value)
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
