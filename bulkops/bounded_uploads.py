"""Bounds an uploaded file while it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.files.uploadhandler import FileUploadHandler, SkipFile

from bulkops.conf import conf

if TYPE_CHECKING:
    from django.http import HttpRequest


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
