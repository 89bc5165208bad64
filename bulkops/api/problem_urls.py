"""The addresses that problems name as their types, each a page in words."""

from __future__ import annotations

from django.urls import path

from bulkops.api import pages

app_name = "bulkops-problems"

urlpatterns = [
    path("", pages.problem_list, name="problems"),
    path("<slug:name>", pages.problem, name="problem"),
    path("<slug:name>/", pages.problem),
]
