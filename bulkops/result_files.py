"""Results that are files: where an item's files are stored, how its result names them, and that they go with the job.

They lie in Django's default storage in a folder of their item. So an item that is repeated after a crash replaces what
it wrote before, and never another's. No address leads there but the one that asks who may see the job. What a dry run's
items store has no job to go with; should its process be killed before it has deleted them, its id tells their age.
"""

from __future__ import annotations

import mimetypes
import re
import secrets
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from django.core.files.storage import default_storage
from django.dispatch import receiver
from django.utils import timezone

from bulkops import stored_files
from bulkops.kept_uploads import KEPT_FOR
from bulkops.signals import job_pruned

if TYPE_CHECKING:
    from django.core.files.base import File

FOLDER = "bulkops/results"
KEY = "files"
"""Under which an item's result lists its files."""
ZIP_OPERATION = "zip-results"
"""Puts all of them together, where it is installed."""
SHOWN_INLINE = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What a browser may show by itself: pictures that cannot hold a script."""
UNKNOWN = "application/octet-stream"

_DATED = 1
"""The version of UUIDs that say when they were made; jobs have others."""
_FIRST_DAY = datetime(1582, 10, 15, tzinfo=UTC)
"""From which such a UUID counts, in tenths of a microsecond."""
_TYPE = re.compile(r"[a-z0-9]+/[a-z0-9][a-z0-9.+-]{0,60}")


@dataclass(frozen=True)
class ResultFile:
    """One file of an item, as its result names it."""

    number: int
    """Its place in the result's list, from 0."""
    name: str
    size: int
    type: str
    path: str
    thumbnail: bool = False

    @property
    def is_inline(self) -> bool:
        return self.type in SHOWN_INLINE


def save(
    job_id: UUID,
    position: int,
    name: str,
    content: bytes | IO[bytes] | File,
    content_type: str = "",
    *,
    thumbnail: bool = False,
) -> dict[str, Any]:
    """Store a file of an item, in place of one that it stored under that name before; return what its result keeps."""
    shown = stored_files.shown_name(name)
    path = f"{folder_of(job_id, position)}/{stored_files.safe_name(name)}"
    size = stored_files.replace(path, content)
    kind = content_type or mimetypes.guess_type(shown)[0] or UNKNOWN
    entry: dict[str, Any] = {"name": shown, "size": size, "type": kind, "path": path}
    return entry | {"thumbnail": True} if thumbnail else entry


def folder_of(job_id: UUID, position: int) -> str:
    """Where an item's files are."""
    return f"{FOLDER}/{job_id}/{position}"


def of_result(job_id: UUID, position: int, result: Any) -> list[ResultFile]:
    """The files that an item's result names, but for those that do not lie in its own folder."""
    listed = result.get(KEY) if isinstance(result, dict) else None
    found = [_read(number, entry) for number, entry in enumerate(listed if isinstance(listed, list) else [])]
    folder = folder_of(job_id, position)
    return [one for one in found if one is not None and _lies_in(folder, one.path)]


def _lies_in(folder: str, path: str) -> bool:
    start, _, name = path.rpartition("/")
    return start == folder and name not in {"", ".", ".."} and "\\" not in name and name.isprintable()


def _read(number: int, entry: Any) -> ResultFile | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return None
    kind, size = entry.get("type"), entry.get("size")
    return ResultFile(
        number,
        name=stored_files.shown_name(str(entry.get("name") or "file")),
        size=size if isinstance(size, int) else 0,
        type=kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else UNKNOWN,
        path=entry["path"],
        thumbnail=entry.get("thumbnail") is True,
    )


@receiver(job_pruned)
def delete_files(*, job_id: UUID, **_: Any) -> None:
    """The files go with their job, also those of items that a crash left without an outcome."""
    stored_files.delete_folder(f"{FOLDER}/{job_id}")


def id_of_a_dry_run() -> UUID:
    """In place of a job's; says when it was made, and nothing of the machine."""
    return uuid.uuid1(node=secrets.randbits(48))


def sweep() -> int:
    """Delete what dry runs of more than a day ago have left, as one does that is killed; return how many had."""
    try:
        folders, _ = default_storage.listdir(FOLDER)
    except (FileNotFoundError, NotImplementedError):
        return 0
    left = [name for name in folders if _is_left(name)]
    for name in left:
        stored_files.delete_folder(f"{FOLDER}/{name}")
    return len(left)


def _is_left(name: str) -> bool:
    with suppress(ValueError):
        made = UUID(name)
        return (
            made.version == _DATED and _FIRST_DAY + timedelta(microseconds=made.time // 10) < timezone.now() - KEPT_FOR
        )
    return False
