"""The address of the metrics, without a trailing slash as scrapers expect it."""

from __future__ import annotations

from django.urls import path

from bulkops.metrics import views

app_name = "bulkops-metrics"

urlpatterns = [path("metrics", views.metrics, name="metrics")]
