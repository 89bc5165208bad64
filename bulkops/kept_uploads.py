"""Where uploaded files wait between their preview and their start, and how long."""

from __future__ import annotations

from datetime import timedelta

from django.core.files.storage import default_storage
from django.utils import timezone

FOLDER = "bulkops/uploads"
KEPT_FOR = timedelta(days=1)


def sweep() -> int:
    """Delete what was never started within a day; return how many files that were."""
    try:
        _, names = default_storage.listdir(FOLDER)
    except (FileNotFoundError, NotImplementedError):
        return 0
    too_old = timezone.now() - KEPT_FOR
    swept = 0
    for name in names:
        path = f"{FOLDER}/{name}"
        try:
            if default_storage.get_modified_time(path) < too_old:
                default_storage.delete(path)
                swept += 1
        except FileNotFoundError:
            continue  # somebody else swept it, or started it
    return swept
