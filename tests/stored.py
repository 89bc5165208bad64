"""What lies in the default storage."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from django.core.files.storage import default_storage

if TYPE_CHECKING:
    from collections.abc import Iterator


def names_below(folder: str) -> Iterator[str]:
    """The files of a folder and its folders, from the storage's root."""
    with suppress(FileNotFoundError, NotADirectoryError):
        folders, files = default_storage.listdir(folder)
        yield from (f"{folder}/{name}" for name in files)
        for name in folders:
            yield from names_below(f"{folder}/{name}")
