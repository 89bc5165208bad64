"""The addresses of the page of one's API tokens."""

from __future__ import annotations

from django.urls import path

from bulkops.api import pages

app_name = "bulkops-tokens"

urlpatterns = [
    path("", pages.token_list, name="tokens"),
    path("<int:pk>/revoke/", pages.revoke, name="revoke"),
]
