"""All files that a job's items made, in zips: which items go into which, and one such zip written."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, TYPE_CHECKING

from django.core.files.storage import default_storage
from django.utils import timezone

from bulkops import result_files
from bulkops.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from bulkops.models import Job
    from bulkops.result_files import ResultFile

PAGE = 1_000
_PACKED_ALREADY = ("image/", "video/", "application/pdf", "application/zip")


@dataclass
class Part:
    """The items whose files go into one zip, from the first position to the last."""

    first: int
    last: int
    files: int = 0
    size: int = 0


def parts(job_id: UUID, most_files: int, most_bytes: int) -> list[Part]:
    """Cut a job's files into zips of so many files and bytes at most; the files of one item stay together."""
    found: list[Part] = []
    for position, files in _files(job_id):
        size = sum(file.size for file in files)
        last = found[-1] if found else None
        if last is None or last.files + len(files) > most_files or last.size + size > most_bytes:
            last = Part(position, position)
            found.append(last)
        last.last, last.files, last.size = position, last.files + len(files), last.size + size
    return found


def write(job: Job, first: int, last: int, target: IO[bytes]) -> tuple[int, int]:
    """Write the zip of the items from `first` to `last`; return how many files are in it, and how many were gone."""
    names: set[str] = set()
    gone = 0
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        for _, files in _files(job.pk, first - 1, last):
            for file in files:
                gone += not _add(archive, file, names, job)
    return len(names), gone


def _files(job_id: UUID, after: int = -1, last: int = 2**31 - 1) -> Iterator[tuple[int, list[ResultFile]]]:
    """Positions with the files of that item, read page by page."""
    made = Outcome.objects.filter(job_id=job_id, position__lte=last, result__has_key=result_files.KEY)
    while page := list(made.filter(position__gt=after).order_by("position").values_list("position", "result")[:PAGE]):
        after = page[-1][0]
        for position, result in page:
            if files := result_files.of_result(job_id, position, result):
                yield position, files


def _add(archive: zipfile.ZipFile, file: ResultFile, names: set[str], job: Job) -> bool:
    try:
        content = default_storage.open(file.path, "rb")
    except (FileNotFoundError, IsADirectoryError):
        return False
    # The job's end, so that the same zip comes out when it is made again.
    made_at = timezone.localtime(job.finished_at or job.created_at).timetuple()[:6]
    entry = zipfile.ZipInfo(_unique(f"{'thumbnails/' if file.thumbnail else ''}{file.name}", names), made_at)
    packed = file.type.startswith(_PACKED_ALREADY)
    entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    with content, archive.open(entry, "w", force_zip64=True) as out:
        for piece in content.chunks():
            out.write(piece)
    return True


def _unique(name: str, names: set[str]) -> str:
    """The name, or with a number where it is taken; some systems do not tell large letters from small ones."""
    path, number, unique = PurePath(name), 1, name
    while unique.casefold() in names:
        number += 1
        unique = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
    names.add(unique.casefold())
    return unique
