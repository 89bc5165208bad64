"""The form of an operation: its parameters, its items and what is asked of every job.

Reads what was typed or chosen; what the values may be is checked by the operation's own forms and by the services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from django import forms

from bulkops import inputs
from bulkops.conf import conf
from bulkops.exceptions import InputTooLarge
from bulkops.operation import FASTEST, SLOWEST
from bulkops.web import uploads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.files.uploadedfile import UploadedFile
    from django.http import HttpRequest

    from bulkops.models import Job
    from bulkops.operation import Operation

LARGEST_LIMIT = 2**31 - 1


class JobForm(forms.Form):
    """What is asked of every job, whatever its operation."""

    items = forms.CharField(
        required=False,
        strip=False,
        label="Paste the items",
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "autocomplete": "off"}),
    )
    file = forms.FileField(
        required=False,
        label="Or upload a file",
        widget=forms.FileInput(attrs={"accept": ",".join(inputs.SUFFIXES)}),
    )
    upload = forms.CharField(required=False, widget=forms.HiddenInput)
    forget_upload = forms.BooleanField(required=False, label="Leave this file out")
    limit = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_LIMIT,
        label="Only the first",
        help_text="Try it on a few items; empty takes all of them.",
    )
    name = forms.CharField(required=False, max_length=200, label="Name", help_text="To find the job again; optional.")
    parallelism = forms.IntegerField(required=False, min_value=1, label="Workers at once")
    rate_per_second = forms.FloatField(required=False, label="Items per second")

    def __init__(self, operation: Operation, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if operation.parallelism == 1:
            del self.fields["parallelism"]
        else:
            most = operation.parallelism
            self.fields["parallelism"] = forms.IntegerField(
                required=False, min_value=1, max_value=most, label="Workers at once", help_text=f"1 to {most}."
            )
        fastest = operation.rate_per_second or FASTEST
        self.fields["rate_per_second"] = forms.FloatField(
            required=False,
            min_value=SLOWEST,
            max_value=fastest,
            label="Items per second",
            help_text=f"{fastest:g} at most; optional."
            if operation.rate_per_second
            else "At most; empty for no limit.",
        )
        fields = list(operation.Item().fields) if operation.Item is not None else []
        self.fields["items"].help_text = (
            f"CSV with a header row: {','.join(fields)}" if fields else "One item a line."
        ) + (" Leave it empty to take all that the operation finds itself." if operation.collects else "")
        mb = conf().file_bytes // (1024 * 1024)
        self.fields["file"].help_text = f"CSV, JSON Lines, JSON or text; at most {mb} MB, {conf().file_items:,} items."


@dataclass(frozen=True)
class Source:
    """Where the items come from."""

    field: str
    """The form's field that a complaint about them belongs to."""
    name: str
    items: Iterator[Any]
    file: UploadedFile | None = None
    kept: uploads.Kept | None = None


class SubmitForms:
    """The two forms of one operation as one: `job` and `params`."""

    def __init__(
        self, operation: Operation, request: HttpRequest, *, posted: bool = True, again: Job | None = None
    ) -> None:
        self.operation = operation
        self.request = request
        initial: dict[str, Any] = {} if again is None else {"limit": again.limit, "parallelism": again.parallelism}
        if again is not None and again.rate_per_second != operation.rate_per_second:
            initial["rate_per_second"] = again.rate_per_second
        self.job = JobForm(
            operation, request.POST if posted else None, request.FILES if posted else None, initial=initial
        )
        self.params: forms.BaseForm | None = None
        if operation.Params is not None:
            names = operation.Params.base_fields
            # Parameters keep their own names, unless one of them is also a field of every job.
            prefix = "param" if set(names) & {*JobForm.base_fields, "action", "idempotency_key"} else None
            before = {} if again is None else {k: v for k, v in again.params.items() if k not in operation.secret}
            self.params = operation.Params(request.POST if posted else None, prefix=prefix, initial=before)
        self.kept: uploads.Kept | None = None
        self._opened: IO[bytes] | None = None

    def close(self) -> None:
        """Close the kept file that `source` may have opened."""
        if self._opened is not None:
            self._opened.close()

    def is_valid(self) -> bool:
        """Check both, so that all complaints are shown at once. Notes the file that was kept by a preview."""
        valid = [self.job.is_valid(), self.params is None or self.params.is_valid()]
        token = self.job.cleaned_data.get("upload")
        if token and not self.job.cleaned_data.get("forget_upload") and "file" not in self.request.FILES:
            self.kept = uploads.kept(token, self.request.user)
            if self.kept is None:
                self.job.add_error("file", "The uploaded file is no longer there; choose it again.")
                return False
        if self.job.cleaned_data.get("items", "").strip() and (self.kept or self.request.FILES.get("file")):
            self.job.add_error("items", "There is a file too. Give the items here or in a file, not both.")
            return False
        return all(valid)

    @property
    def errors(self) -> bool:
        return bool(self.job.errors or (self.params is not None and self.params.errors))

    @property
    def carried(self) -> list[forms.BoundField]:
        """The fields that a preview's form carries along unseen; its file travels as a token."""
        mine = [self.job[name] for name in self.job.fields if name not in {"file", "upload", "forget_upload"}]
        return mine + ([] if self.params is None else list(self.params))

    def source(self) -> Source | None:
        """The items that were given, as a stream that may raise InputError or InputTooLarge; None without any."""
        file = self.request.FILES.get("file")
        if file is not None:
            file.seek(0)
            stream: IO[bytes] = file
            return Source("file", file.name or "", inputs.read_file(stream, file.name or "", self.operation), file=file)
        if self.kept is not None:
            self._opened = self.kept.open()
            rows = inputs.read_file(self._opened, self.kept.name, self.operation)
            return Source("file", self.kept.name, rows, kept=self.kept)
        text = self.job.cleaned_data["items"]
        if not text.strip():
            return None
        return Source("items", "", inputs.read_pasted(text, self.operation))

    def refuse_large_file(self) -> None:
        """Raises InputTooLarge, for an upload that was cut off for its size."""
        raise InputTooLarge(f"The file is larger than {conf().file_bytes // (1024 * 1024):,} MB.")

    def stored_params(self) -> dict[str, Any]:
        """The parameters as JSON values: cleaned where that is a plain value, as they were typed where it is not."""
        if self.params is None:
            return {}
        cleaned = self.params.cleaned_data
        return {
            name: cleaned[name] if _is_plain(cleaned.get(name)) else self.params[name].data
            for name in self.params.fields
        }

    def add_errors(self, errors: dict[str, list[str]]) -> None:
        """Put the services' complaints about parameters next to their fields."""
        for name, texts in errors.items():
            if self.params is not None and name in self.params.fields:
                self.params.add_error(name, texts)
            else:
                self.job.add_error(None, texts)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str | int) for one in value)
    return value is None or isinstance(value, str | bool | int)
