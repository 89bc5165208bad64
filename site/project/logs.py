"""Keeps the log quiet about probes and scrapes that are answered with no: whoever asks is told, as often as it asks."""

from __future__ import annotations

import logging

PROBES = ("/healthz", "/readyz", "/metrics")


class WithoutProbes(logging.Filter):
    """Lets through everything but the probes' answers; their exceptions stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record is to be written."""
        path = getattr(getattr(record, "request", None), "path", "")
        return bool(record.exc_info) or not path.startswith(PROBES)
