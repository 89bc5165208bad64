"""Many files sent with a form: put into the storage while they arrive, and kept until their job is started.

A browser cannot send chosen files a second time, so whatever the answer is, they stay for a day, under a signed token
that only the same user can use; unless the form itself was refused. Django's own handlers would keep a thousand files
open, or in memory.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from django.core import signing
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile, StopFutureHandlers

from bulkops import batches, uploaded_files
from bulkops.conf import conf
from bulkops.exceptions import InputTooLarge
from bulkops.kept_uploads import KEPT_FOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    from bulkops.uploaded_files import Batch

FIELD = "files"
_SALT = "bulkops.web.file_batches"
_IN_MEMORY = 1024 * 1024


class BatchUpload(FileUploadHandler):
    """Takes the files of one field, one after the other; leaves those of other fields to other handlers.

    The first that is too much is told in `problem`; the rest is read past, so that the browser gets an answer in words.
    """

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.problem = ""
        self.batch: Batch | None = None
        self._arriving: IO[bytes] | None = None
        self._size = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._close()
        if self.field_name != FIELD:
            return
        self._refuse_if(bool(self.problem), self.problem)
        if self.batch is None:
            batches.sweep()
            self.batch = uploaded_files.Batch()
        self._refuse_if(len(self.batch.items) >= conf().upload_files, uploaded_files.too_many())
        self._size = 0
        self._arriving = cast("IO[bytes]", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:  # noqa: ARG002 - Django's signature
        if self._arriving is None or self.batch is None:
            return raw_data
        self._size += len(raw_data)
        self._refuse_if(self._size > conf().file_bytes, uploaded_files.too_large(self.file_name or ""))
        self._refuse_if(self.batch.size + self._size > conf().upload_bytes, uploaded_files.too_large_together())
        self._arriving.write(raw_data)
        return None

    def file_complete(self, file_size: int) -> UploadedFile | None:
        if self._arriving is None or self.batch is None:
            return None
        try:
            item = self.batch.add(self.file_name or "", self._arriving)
        except InputTooLarge as refusal:
            self.problem = refusal.message
            return None
        finally:
            self._close()
        # What was stored needs no content here, but Django closes it.
        return UploadedFile(io.BytesIO(), name=item["name"], content_type=item["type"], size=file_size)

    def upload_interrupted(self) -> None:
        self._close()

    def _refuse_if(self, refused: bool, why: str) -> None:
        if refused:
            self.problem = why
            self._close()
            raise SkipFile

    def _close(self) -> None:
        if self._arriving is not None:
            self._arriving.close()
            self._arriving = None

    def discard(self) -> None:
        """Delete what was stored; for a request that came to nothing."""
        self._close()
        if self.batch is not None:
            uploaded_files.drop(self.batch.id)
            self.batch = None


def bound(request: HttpRequest) -> BatchUpload:
    """Let this request's files go into a batch. To be called before anything looks into its POST."""
    handler = BatchUpload(request)
    request.upload_handlers.insert(0, handler)
    return handler


@dataclass(frozen=True)
class KeptBatch:
    """Files between two requests."""

    batch: str
    items: list[dict[str, Any]]
    token: str

    @property
    def name(self) -> str:
        """What the job's input is called."""
        return self.items[0]["name"] if len(self.items) == 1 else f"{len(self.items):,} files"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(item["size"] for item in self.items)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.items)


def keep(batch: Batch, user: Any) -> KeptBatch:
    """Let the files wait for another request of this user's."""
    batch.keep()
    token = signing.dumps({"user": str(user.pk), "batch": batch.id}, salt=_SALT)
    return KeptBatch(batch.id, batch.items, token)


def kept(token: str, user: Any) -> KeptBatch | None:
    """The files of a token; None if they are somebody else's, too old, started already or it is no token at all."""
    try:
        content = signing.loads(token, salt=_SALT, max_age=KEPT_FOR)
    except signing.BadSignature:
        return None
    items = uploaded_files.waiting(content["batch"]) if content["user"] == str(user.pk) else None
    return KeptBatch(content["batch"], items, token) if items else None
