"""The site's addresses, and two more: what a poll would cost if nothing were made of what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.db.models import JSONField
from django.db.models.expressions import RawSQL
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.cache import never_cache

from bulkops import snapshots
from bulkops.models import Job
from project.urls import urlpatterns as of_the_site

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

SQL, PARAMETERS = (
    Job.objects.select_related("owner", "pace")
    .annotate(told=RawSQL(snapshots._TOLD, (), output_field=JSONField()))
    .filter(pk="00000000-0000-0000-0000-000000000000")
    .order_by()
    .query.sql_with_params()
)


@never_cache
@login_required
def bare(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The same session, user and query, and some words."""
    with connection.cursor() as cursor:
        cursor.execute(SQL, [pk])
        row = cursor.fetchone()
    return HttpResponse(f"{len(row)} of {request.user.pk}")


@never_cache
@login_required
def prepared(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The same, its query prepared as the card's is."""
    row = snapshots._compiled().query.fetchone([pk])
    return HttpResponse(f"{len(row or ())} of {request.user.pk}")


urlpatterns = [*of_the_site, path("bare/<uuid:pk>/", bare), path("bare/<uuid:pk>/prepared/", prepared)]
