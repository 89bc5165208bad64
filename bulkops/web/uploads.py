"""Uploaded files: bounded while they arrive, and kept from the preview to the start.

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
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

from bulkops.conf import conf
from bulkops.kept_uploads import FOLDER, KEPT_FOR, sweep

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from django.http import HttpRequest

_SALT = "bulkops.web.uploads"


class BoundedUpload(FileUploadHandler):
    """Drops a file as soon as it exceeds `file_bytes`: what was stored of it is given back, and the rest is read past.

    The rest is read so that the browser gets an answer in words; a connection that is cut instead shows it none. How
    much may be sent at all is for the web server in front to say.
    """

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.dropped: str | None = None
        self._size = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:  # noqa: ARG002 - Django's signature
        self._size += len(raw_data)
        if self._size > conf().file_bytes:
            self.dropped = self.file_name
            raise SkipFile
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """The handlers behind this one hold the file."""


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
