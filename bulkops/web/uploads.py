"""Uploaded files: kept from the preview to the start.

A browser cannot send a chosen file a second time, so the preview puts it into Django's default storage under a random
name, and the page carries a signed token that only the same user can use. It is deleted when its job is started, and
swept away a day after it was put there. With several web hosts the storage must be one they share.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from django.core import signing
from django.core.files.storage import default_storage

from bulkops.bounded_uploads import BoundedUpload
from bulkops.kept_uploads import FOLDER, KEPT_FOR, sweep

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from django.http import HttpRequest

_SALT = "bulkops.web.uploads"


def bound(request: HttpRequest) -> BoundedUpload:
    """Bound this request's uploads. To be called before anything looks into its POST, as the CSRF check does."""
    handler = BoundedUpload(request)
    request.upload_handlers.insert(0, handler)
    return handler


@dataclass(frozen=True)
class Kept:
    """An uploaded file between its preview and its start."""

    path: str
    name: str
    token: str

    def open(self) -> IO[bytes]:
        return default_storage.open(self.path, "rb")

    def drop(self) -> None:
        default_storage.delete(self.path)


def keep(file: UploadedFile, user: Any) -> Kept:
    """Store a file for this user, and sweep away what is too old."""
    sweep()
    file.seek(0)
    path = default_storage.save(f"{FOLDER}/{secrets.token_urlsafe(24)}", file)
    name = file.name or "file"
    return Kept(path, name, signing.dumps({"user": str(user.pk), "path": path, "name": name}, salt=_SALT))


def kept(token: str, user: Any) -> Kept | None:
    """The file of a token; None if it is somebody else's, too old, used already or no token at all."""
    try:
        content = signing.loads(token, salt=_SALT, max_age=KEPT_FOR)
    except signing.BadSignature:
        return None
    if content["user"] != str(user.pk) or not default_storage.exists(content["path"]):
        return None
    return Kept(content["path"], content["name"], token)
