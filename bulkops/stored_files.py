"""Files in Django's default storage: names that lead nowhere else, writing that replaces, folders that go whole."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import unicodedata
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, default_storage

if TYPE_CHECKING:
    pass

SHOWN_CHARS = 150
"""Length of a name that people read."""
STEM_CHARS, SUFFIX_CHARS = 60, 12
"""Length of a name in the storage, so that it fits every file system together with its folder."""
PATH_CHARS = 500

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PART = ".part-"


def shown_name(name: str) -> str:
    """A file's name for people: no folders, nothing invisible that turns or breaks a line, bounded, never empty."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", str(name)))[-1]
    clean = "".join(character for character in last if character.isprintable()).strip()
    if clean.strip(".") == "":
        return "file"
    if len(clean) <= SHOWN_CHARS:
        return clean
    suffix = PurePosixPath(clean).suffix[:SUFFIX_CHARS]
    return f"{clean[: SHOWN_CHARS - 1 - len(suffix)]}…{suffix}"


def safe_name(name: str) -> str:
    """A name for the storage: plain ASCII. Two names that differ stay different, the same one stays the same."""
    path = PurePosixPath(shown_name(name))
    stem = _UNSAFE.sub("_", path.stem).strip("._")[:STEM_CHARS]
    suffix = _UNSAFE.sub("", path.suffix)[:SUFFIX_CHARS]
    if f"{stem}{suffix}" == name:
        return name
    told_apart = hashlib.sha256(str(name).encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{stem or 'file'}-{told_apart}{suffix}"


def replace(path: str, content: bytes | IO[bytes] | File) -> int:
    """Store the content under exactly this name, in place of what is there; return its size in bytes.

    On a file system the name changes hands in one step, and what a killed worker left half written beside it goes. On
    other storages the old file is deleted first.
    """
    file = _as_file(content)
    if not isinstance(default_storage, FileSystemStorage):
        default_storage.delete(path)
        return default_storage.size(default_storage.save(path, file))
    folder, _, name = path.rpartition("/")
    with suppress(FileNotFoundError):
        for other in default_storage.listdir(folder)[1]:
            if other.startswith(f"{_PART}{name}-"):
                default_storage.delete(f"{folder}/{other}")
    beside = f"{folder}/" if folder else ""
    part = default_storage.save(f"{beside}{_PART}{name}-{secrets.token_hex(4)}", file)
    Path(default_storage.path(part)).replace(default_storage.path(path))
    return default_storage.size(path)


def _as_file(content: bytes | IO[bytes] | File) -> File:
    if isinstance(content, bytes):
        return ContentFile(content)
    return content if isinstance(content, File) else File(content)


def delete_folder(folder: str) -> None:
    """Delete the folder with all that is in it, if there is one; a storage that cannot list has none to delete."""
    with suppress(FileNotFoundError, NotADirectoryError, NotImplementedError):
        folders, files = default_storage.listdir(folder)
        for name in files:
            default_storage.delete(f"{folder}/{name}")
        for name in folders:
            delete_folder(f"{folder}/{name}")
        default_storage.delete(folder)


def fault_of(path: str) -> str | None:
    """Why a name that somebody gave is no file's below the storage's root, in words; None where it may be one."""
    if not path or len(path) > PATH_CHARS:
        return "is no file's name"
    if not path.isprintable() or "\\" in path:
        return "holds a character that no name here has"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is an absolute path; name it from the storage's root"
    if any(part in {"", ".", ".."} for part in path.split("/")):
        return "leads through “.”, “..” or an empty folder"
    return "leads through a symbolic link" if _is_linked(path) else None


def _is_linked(path: str) -> bool:
    """Whether a part of the name, below the root, is a link; asked of each item, and so of no more than these parts."""
    if not isinstance(default_storage, FileSystemStorage):
        return False
    try:
        here = default_storage.path(path)
    except (SuspiciousOperation, OSError):
        return True
    for _ in path.split("/"):
        if os.path.islink(here):  # noqa: PTH114 - a Path for each part would cost as much again
            return True
        here = os.path.dirname(here)  # noqa: PTH120
    return False
