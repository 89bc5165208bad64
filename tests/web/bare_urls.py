"""The addresses of a host project that has nothing but bulkops."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("", include("bulkops.web.urls"))]
