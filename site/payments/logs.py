"""Keeps the site's log quiet about refusals that the provider makes on purpose."""

import logging


class OnPurpose(logging.Filter):
    """Lets through everything but the provider's deliberate answers; its exceptions stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record is to be written."""
        path = getattr(getattr(record, "request", None), "path", "")
        return bool(record.exc_info) or not path.startswith("/payments/")
