"""Many files as a job's items: how they are stored as one batch, described as items, and who may name which file.

A batch is a folder of the default storage under a random name. It waits for its start under a note that lists its
items; the job that is started names it, and so do its retries.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import IO, TYPE_CHECKING, Any

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext

from bulkops import file_types, stored_files
from bulkops.conf import conf
from bulkops.exceptions import FileRefused, InputTooLarge

if TYPE_CHECKING:
    from bulkops.operation import Operation

FOLDER = "bulkops/files"
WAITING = "bulkops/waiting"
"""Notes of the batches that no job has taken yet."""
_READ_BYTES = 1024 * 1024
_OWN = "bulkops"
"""The folder whose files belong to jobs, of which nobody names another's."""


class Batch:
    """Files that are put into the storage together; from the first moment on a note says that they wait."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(24)
        self.items: list[dict[str, Any]] = []
        self.size = 0
        """Bytes of all files."""
        stored_files.replace(f"{WAITING}/{self.id}", b"[]")

    def add(self, name: str, content: IO[bytes]) -> dict[str, Any]:
        """Store a file, piece by piece, and return its item. Raises InputTooLarge."""
        if len(self.items) >= conf().upload_files:
            raise InputTooLarge(too_many())
        shown = stored_files.shown_name(name)
        content.seek(0)
        kind = file_types.sniff(content.read(file_types.HEAD_BYTES))
        path = f"{FOLDER}/{self.id}/{len(self.items):06}-{_hash_of(content)}-{stored_files.safe_name(name)}"
        stored = default_storage.save(path, File(content))
        size = default_storage.size(stored)
        item = {"file": stored, "name": shown, "size": size, "type": kind}
        self.items.append(item)
        self.size += size
        if size > conf().file_bytes:
            raise InputTooLarge(too_large(shown))
        if self.size > conf().upload_bytes:
            raise InputTooLarge(too_large_together())
        return item

    def keep(self) -> None:
        """Write the items into the note, so that another request can start them."""
        stored_files.replace(f"{WAITING}/{self.id}", json.dumps(self.items).encode())


def _hash_of(content: IO[bytes]) -> str:
    """Tells whether the same files were sent again."""
    content.seek(0)
    running = hashlib.sha256()
    while piece := content.read(_READ_BYTES):
        running.update(piece)
    return running.hexdigest()[:16]


def too_many() -> str:
    return gettext("These are more than %(n)s files.") % {"n": f"{conf().upload_files:,}"}


def too_large(name: str) -> str:
    return gettext("“%(name)s” is larger than %(mb)s MB.") % {"name": name, "mb": _mb(conf().file_bytes)}


def too_large_together() -> str:
    return gettext("The files are larger than %(mb)s MB together.") % {"mb": _mb(conf().upload_bytes)}


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / (1024 * 1024):,.3g}"


def waiting(batch: str) -> list[dict[str, Any]] | None:
    """The items of a batch that waits for its start; None if it was started or is gone."""
    try:
        with default_storage.open(f"{WAITING}/{batch}") as note:
            return json.load(note)
    except (FileNotFoundError, ValueError):
        return None


def close(batch: str) -> None:
    """Let nobody start the batch any more, which its note goes on to tell of."""
    stored_files.replace(f"{WAITING}/{batch}", b"null")


def forget_waiting(batch: str) -> None:
    """The batch waits no longer, and stays."""
    default_storage.delete(f"{WAITING}/{batch}")


def drop(batch: str) -> None:
    """Delete the batch, its note last, so that an interrupted deletion is taken up again.

    Only of what no job can have; else `batches.give_up`.
    """
    stored_files.delete_folder(f"{FOLDER}/{batch}")
    default_storage.delete(f"{WAITING}/{batch}")


def path_of(item: Any) -> str:
    """The file that an item names: a text, or an object with `file`. Raises FileRefused."""
    path = item.get("file") if isinstance(item, dict) else item
    if not isinstance(path, str):
        raise FileRefused(gettext("The item names no file."))
    return path


def name_of(item: Any) -> str:
    """What people call the file."""
    name = item.get("name") if isinstance(item, dict) else None
    return stored_files.shown_name(name if isinstance(name, str) and name else path_of(item))


def check(item: Any, batch: str) -> str:
    """The file's name in the storage, if a job with that batch may read it. Raises FileRefused; opens nothing.

    A job reads what came with it, and what lies below one of `files_folders`.
    """
    path = path_of(item)
    fault = stored_files.fault_of(path)
    if fault is None and not _is_open(path, batch):
        fault = "is not one that this job may read"
    if fault is not None:
        raise FileRefused(
            gettext("The file “%(path)s” %(fault)s.") % {"path": stored_files.shown_name(path), "fault": fault}
        )
    return path


def _is_open(path: str, batch: str) -> bool:
    if path.split("/")[0] == _OWN:
        return bool(batch) and path.rpartition("/")[0] == f"{FOLDER}/{batch}"
    return any(path.startswith(f"{folder.strip('/')}/") for folder in conf().files_folders if folder.strip("/"))


def open_file(item: Any, batch: str) -> File:
    """The item's file, open for reading. Raises FileRefused."""
    path = check(item, batch)
    try:
        return default_storage.open(path, "rb")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise FileRefused(
            gettext("There is no file “%(path)s” in the storage any more.") % {"path": stored_files.shown_name(path)}
        ) from None


def columns(item: dict[str, Any]) -> dict[str, str]:
    """An item as `Batch` describes it, for a table that people read."""
    return {"name": item["name"], "size": filesizeformat(item["size"]), "type": item["type"]}


def in_words(item: Any) -> str | None:
    """An item as `Batch` describes it, for people: its name, size and type; None for any other."""
    if not isinstance(item, dict) or set(item) != {"file", "name", "size", "type"}:
        return None
    return f"{item['name']}, {filesizeformat(item['size'])}, {item['type']}"


def clean_item(operation: Operation, item: Any, batch: str) -> Any:
    """What `process` gets of an item, whose file may be read. Raises InvalidItems."""
    if operation.takes_files:
        check(item, batch)
    return operation.clean_item(item)
