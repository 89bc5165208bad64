"""`manage.py qcluster`: a worker cluster, in place of django-q2's command of the same name."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import connections

from bulkops.cluster.leader import Leader, configured_workers

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Run a worker cluster until SIGTERM or SIGINT; then the items in hand are finished and the rest handed on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workers", type=int, default=None, help="worker processes (default: Q_CLUSTER's)")
        parser.add_argument("--queues", default="default", help="queues to serve, separated by commas")

    def handle(self, *args: Any, **options: Any) -> None:
        workers = configured_workers() if options["workers"] is None else options["workers"]
        if workers < 1:
            self.stderr.write("qcluster: --workers must be at least 1")
            sys.exit(2)
        queues = [queue.strip() for queue in options["queues"].split(",") if queue.strip()]
        status = Leader(workers=workers, queues=queues or ["default"]).run()
        # All is committed and the workers are gone. The interpreter's own taking apart of what was imported is half a
        # second of computing, which on a busy machine is the difference between ending in time and being killed.
        connections.close_all()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
