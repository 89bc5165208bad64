"""The addresses of the API."""

from __future__ import annotations

from django.urls import path, re_path

from bulkops.api import controls, docs, failures, jobs, operations, webhooks
from bulkops.api.base import NOWHERE, Nowhere
from bulkops.latencies import POLL, SUBMIT, timed

app_name = "bulkops-api"

urlpatterns = [
    path("jobs/", timed(SUBMIT, "api", method="POST")(jobs.Jobs.as_view()), name="jobs"),
    path("jobs/summary/", jobs.JobsSummary.as_view(), name="summary"),
    path("jobs/<uuid:pk>/", timed(POLL, "api")(jobs.OneJob.as_view()), name="job"),
    path("jobs/<uuid:pk>/items/", jobs.JobItems.as_view(), name="items"),
    path("jobs/<uuid:pk>/failures/", failures.JobFailures.as_view(), name="failures"),
    path("jobs/<uuid:pk>/events/", jobs.JobEvents.as_view(), name="events"),
    path("jobs/<uuid:pk>/report/", jobs.JobReport.as_view(), name="report"),
    path("jobs/<uuid:pk>/cancel/", controls.Cancel.as_view(), name="cancel"),
    path("jobs/<uuid:pk>/pause/", controls.Pause.as_view(), name="pause"),
    path("jobs/<uuid:pk>/resume/", controls.Resume.as_view(), name="resume"),
    path("jobs/<uuid:pk>/retry/", controls.Retry.as_view(), name="retry"),
    path("jobs/<uuid:pk>/rate/", controls.ChangeRate.as_view(), name="rate"),
    path("jobs/<uuid:pk>/items/<int:position>/decide/", controls.Decide.as_view(), name="decide"),
    path("operations/", operations.Operations.as_view(), name="operations"),
    path("operations/<slug:name>/", operations.OneOperation.as_view(), name="operation"),
    path("webhooks/", webhooks.Webhooks.as_view(), name="webhooks"),
    path("webhooks/<uuid:pk>/", webhooks.OneWebhook.as_view(), name="webhook"),
    path("webhooks/<uuid:pk>/rotate/", webhooks.RotateWebhook.as_view(), name="webhook-rotate"),
    path("webhooks/<uuid:pk>/test/", webhooks.TestWebhook.as_view(), name="webhook-test"),
    path("webhooks/<uuid:pk>/deliveries/", webhooks.Deliveries.as_view(), name="deliveries"),
    path("webhooks/<uuid:pk>/deliveries/<uuid:delivery>/replay/", webhooks.Replay.as_view(), name="replay"),
    path("schema/", docs.Schema.as_view(), name="schema"),
    path("docs/", docs.Swagger.as_view(), name="docs"),
    path("redoc/", docs.Redoc.as_view(), name="redoc"),
    re_path(r"^[\s\S]*$", Nowhere.as_view(), name=NOWHERE),
]
