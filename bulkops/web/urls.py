"""The addresses of the pages, their fragments and the health checks."""

from __future__ import annotations

from django.urls import path

from bulkops.web import control, files, fragments, health, item_list, job_list, pages, reports, submitting, wall

app_name = "bulkops"

urlpatterns = [
    path("", pages.home, name="home"),
    path("operations/<slug:name>/", submitting.operation, name="operation"),
    path("jobs/", job_list.jobs, name="jobs"),
    path("jobs/active/", wall.wall, name="wall"),
    path("jobs/open/", pages.open_job, name="open-job"),
    path("jobs/<uuid:pk>/", pages.job, name="job"),
    path("jobs/<uuid:pk>/items/", item_list.job_items, name="job-items"),
    path("jobs/<uuid:pk>/report.csv", reports.report_csv, name="job-report"),
    path("jobs/<uuid:pk>/cancel/", control.cancel, name="job-cancel"),
    path("jobs/<uuid:pk>/pause/", control.pause, name="job-pause"),
    path("jobs/<uuid:pk>/resume/", control.resume, name="job-resume"),
    path("jobs/<uuid:pk>/retry/", control.retry, name="job-retry"),
    path("jobs/<uuid:pk>/items/<int:position>/decide/", control.decide, name="item-decide"),
    path("jobs/<uuid:pk>/items/<int:position>/files/<int:number>/", files.item_file, name="item-file"),
    path("jobs/<uuid:pk>/zip/", control.zip_results, name="job-zip"),
    path("jobs/<uuid:pk>/rate/", control.rate, name="job-rate"),
    # Fragments: parts of the pages above, asked for again and again by htmx.
    path("jobs/<uuid:pk>/progress/", fragments.progress, name="job-progress"),
    path("jobs/<uuid:pk>/controls/", fragments.controls, name="job-controls"),
    path("jobs/<uuid:pk>/details/", fragments.details, name="job-details"),
    path("jobs/<uuid:pk>/failures/", fragments.failures, name="job-failures"),
    path("active/", fragments.active, name="active"),
    path("now/", fragments.now, name="now"),
    path("history/", fragments.history, name="history"),
    # Health, without a trailing slash as probes expect it.
    path("healthz", health.process, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("healthz/workers", health.workers, name="healthz-workers"),
]
