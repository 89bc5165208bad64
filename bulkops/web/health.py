"""Health for machines: the process serves, the database is ready, a worker is alive. No session, no log-in, no detail
that an outsider could use.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from bulkops import holds, liveness

logger = logging.getLogger("bulkops.health")

_migrated = False


@require_safe
@never_cache
def process(_request: HttpRequest) -> HttpResponse:
    """This process answers; asks nothing of anybody else."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(_request: HttpRequest) -> HttpResponse:
    """The database answers and its tables are those of this code."""
    try:
        missing = _not_ready()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("not ready: the database does not answer: %s", _line(error))
        missing = "the database does not answer"
    return _answer(missing)


@require_safe
@never_cache
def workers(_request: HttpRequest) -> HttpResponse:
    """A worker cluster is alive right now."""
    try:
        missing = None if holds.alive_clusters().exists() else "no worker cluster is alive"
        if missing and liveness.workers_missing():
            missing = "no worker cluster is alive; new jobs are refused"
    except (DatabaseError, InterfaceError) as error:
        logger.warning("workers unknown: the database does not answer: %s", _line(error))
        missing = "the database does not answer"
    return _answer(missing)


def _line(error: Exception) -> str:
    """Without a traceback, which would come again with every probe, as long as the database is away."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _not_ready() -> str | None:
    # The code of this process does not change, so one good answer about migrations holds for its life.
    global _migrated
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if not _migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "migrations are not applied"
        _migrated = True
    return None


def _answer(missing: str | None) -> HttpResponse:
    if missing is None:
        return JsonResponse({"status": "ok"})
    return JsonResponse({"status": "unavailable", "missing": missing}, status=503)
