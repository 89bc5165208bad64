"""Operators' view in Django's admin: a dashboard, jobs with live bars, clusters, webhooks. Read-only; what acts
calls services.

No script of its own: htmx, which comes from django-htmx, asks for fragments; without it the pages are older, not wrong.
Templates and style lie below `bulkops/`, where a host project links them.
"""

from __future__ import annotations

from bulkops.admin.clusters import ClusterAdmin
from bulkops.admin.endpoints import EndpointAdmin
from bulkops.admin.jobs import JobAdmin
from bulkops.admin.reading import ReadOnlyAdmin

__all__ = ["ClusterAdmin", "EndpointAdmin", "JobAdmin", "ReadOnlyAdmin"]
