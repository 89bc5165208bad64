"""The form of an operation: its parameters, its items and what is asked of every job.

Reads what was typed or chosen; what the values may be is checked by the operation's own forms and by the services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bulkops import batches, inputs
from bulkops.conf import conf
from bulkops.exceptions import InputTooLarge, InvalidItems
from bulkops.operation import FASTEST, SLOWEST
from bulkops.web import file_batches, uploads
from bulkops.web.again import gone
from bulkops.web.columns import PREFIX, ColumnsForm, answered
from bulkops.webhooks import outbox
from bulkops.wording import unbroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.core.files.uploadedfile import UploadedFile
    from django.http import HttpRequest

    from bulkops.operation import Operation
    from bulkops.web.again import Again
    from bulkops.web.file_batches import BatchUpload, KeptBatch

# The others are names, the same in every language.
FORMAT_CHOICES: list[Any] = [("", _("Detect")), *(inputs.FORMATS | {"txt": _("Lines")}).items()]
LARGEST_LIMIT = 2**31 - 1
_UNSEEN = frozenset({"file", "upload", "forget_upload", "files", "batch", "forget_batch"})
"""What travels from a preview as a token, or not at all."""


def _how_to_paste(operation: Operation, fields: list[str]) -> str:
    if operation.Item is None:
        words = gettext("One item a line; JSON and cells copied from a spreadsheet are recognised.")
    elif fields:
        words = gettext("CSV with a header row: %(columns)s; or JSON.") % {"columns": ",".join(fields)}
    else:
        words = gettext("CSV with a header row: any columns; or JSON.")
    if not operation.collects:
        return words
    return words + " " + gettext("Leave it empty to take all that the operation finds itself.")


def _initial(again: Again | None) -> dict[str, Any]:
    """Of a form that an earlier run fills: its items too, since without them an operation might take all it finds."""
    return {} if again is None else {**again.options, "again": str(again.job.pk), "same_items": again.offers_items}


class ManyFiles(forms.FileInput):
    """Lets a browser choose more than one."""

    allow_multiple_selected = True

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:  # noqa: ARG002 - Django's signature
        """One of them: the others were stored while they arrived, and this field only complains."""
        return files.get(name)


class JobForm(forms.Form):
    """What is asked of every job, whatever its operation."""

    items = forms.CharField(
        required=False,
        strip=False,
        label=_("Paste the items"),
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "autocomplete": "off"}),
    )
    file = forms.FileField(
        required=False,
        label=_("Or upload a file"),
        widget=forms.FileInput(attrs={"accept": ",".join(inputs.ACCEPTED_SUFFIXES)}),
    )
    upload = forms.CharField(required=False, widget=forms.HiddenInput)
    forget_upload = forms.BooleanField(required=False, label=_("Leave this file out"))
    input_format = forms.ChoiceField(
        required=False,
        label=_("Format"),
        choices=FORMAT_CHOICES,
    )
    input_encoding = forms.ChoiceField(
        required=False,
        label=_("Encoding of the file"),
        choices=[("", _("Detect")), *inputs.ENCODINGS.items()],
        help_text=_("Choose one if the preview shows wrong letters."),
    )
    same_items = forms.BooleanField(required=False)
    again = forms.CharField(required=False, widget=forms.HiddenInput)
    limit = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_LIMIT,
        label=_("Only the first"),
        help_text=_("Begin with a few items; empty takes all of them."),
    )
    name = forms.CharField(
        required=False, max_length=200, label=_("Name"), help_text=_("To find the job again; optional.")
    )
    parallelism = forms.IntegerField(required=False, min_value=1, label=_("Workers at once"))
    rate_per_second = forms.FloatField(required=False, label=_("Items per second"))
    email_at_end = forms.BooleanField(required=False, label=_("Send me an e-mail when it has ended"))

    def __init__(
        self,
        operation: Operation,
        data: Any = None,
        files: Any = None,
        *,
        again: Again | None = None,
        has_address: bool = False,
    ) -> None:
        super().__init__(data, files, initial=_initial(again))
        self._offer_items_of(again)
        if not has_address:
            del self.fields["email_at_end"]
        if operation.parallelism == 1:
            del self.fields["parallelism"]
        else:
            most = operation.parallelism
            self.fields["parallelism"] = forms.IntegerField(
                required=False,
                min_value=1,
                max_value=most,
                label=_("Workers at once"),
                help_text=gettext("1 to %(most)s; empty for one.") % {"most": most},
            )
        fastest = operation.rate_per_second or FASTEST
        self.fields["rate_per_second"] = forms.FloatField(
            required=False,
            min_value=SLOWEST,
            max_value=fastest,
            label=_("Items per second"),
            help_text=gettext("%(fastest)s at most; optional.") % {"fastest": f"{fastest:g}"}
            if operation.rate_per_second
            else gettext("At most; empty for no limit."),
        )
        fields = list(operation.Item().fields) if operation.Item is not None else []
        if operation.Item is not None:
            self.fields["input_format"] = forms.ChoiceField(
                required=False, label=_("Format"), choices=[choice for choice in FORMAT_CHOICES if choice[0] != "txt"]
            )
        self.fields["items"].help_text = _how_to_paste(operation, fields)
        mb = conf().file_bytes // (1024 * 1024)
        allowed = gettext("CSV, JSON Lines, JSON or text; at most %(mb)s MB, %(items)s items.")
        self.fields["file"].help_text = unbroken(allowed % {"mb": mb, "items": f"{conf().file_items:,}"})
        if operation.takes_files:
            self._take_files(mb)

    def _offer_items_of(self, again: Again | None) -> None:
        if again is None or not again.offers_items:
            del self.fields["same_items"], self.fields["again"]
            return
        box = self.fields["same_items"]
        box.label, box.help_text = again.label, again.help_text

    def _take_files(self, mb: int) -> None:
        """Files are chosen; a list of names only makes sense where there are folders whose files may be named."""
        if not conf().files_folders:
            for name in ("items", "file", "input_format", "input_encoding"):
                del self.fields[name]
        else:
            self.fields["items"].label = gettext("Or paste names of files in the storage")
            self.fields["file"].label = gettext("Or upload a list of such names")
        allowed = gettext("At most %(files)s files of %(mb)s MB each, %(together)s MB together.")
        together = f"{conf().upload_bytes // (1024 * 1024):,}"
        self.fields["files"] = forms.FileField(
            required=False,
            allow_empty_file=True,  # an empty one among them is its item's failure, not the form's
            label=_("Choose the files"),
            widget=ManyFiles(attrs={"multiple": True}),
            help_text=unbroken(allowed % {"files": f"{conf().upload_files:,}", "mb": f"{mb:,}", "together": together}),
        )
        self.fields["batch"] = forms.CharField(required=False, widget=forms.HiddenInput)
        self.fields["forget_batch"] = forms.BooleanField(required=False, label=_("Leave these files out"))


@dataclass(frozen=True)
class Source:
    """Where the items come from."""

    field: str
    """The form's field that a complaint about them belongs to."""
    name: str
    items: Iterator[Any]
    file: UploadedFile | None = None
    kept: uploads.Kept | None = None
    upload: str = ""
    """The batch of files that the items name."""

    @property
    def reading(self) -> inputs.Reading | None:
        """How the text was read; None where files are the items."""
        return self.items.reading if isinstance(self.items, inputs.Items) else None


class SubmitForms:
    """The two forms of one operation as one: `job` and `params`."""

    def __init__(
        self,
        operation: Operation,
        request: HttpRequest,
        *,
        posted: bool = True,
        again: Again | None = None,
        arrived: BatchUpload | None = None,
    ) -> None:
        self.operation = operation
        self.request = request
        self.again = again
        given = (request.POST, request.FILES) if posted else (None, None)
        self.job = JobForm(operation, *given, again=again, has_address=bool(outbox.address_of(request.user)))
        self.params: forms.BaseForm | None = None
        if operation.Params is not None:
            names = operation.Params.base_fields
            # Parameters keep their own names, unless one of them is also a field of every job.
            ours = {*JobForm.base_fields, *self.job.fields, "action", "idempotency_key"}
            prefix = "param" if set(names) & ours else None
            before = {} if again is None else again.params
            self.params = operation.Params(request.POST if posted else None, prefix=prefix, initial=before)
        self.kept: uploads.Kept | None = None
        self.columns: ColumnsForm | None = None
        """Asks which column is which field, where that was not found out."""
        self.answers = answered(request.POST, operation) if posted else {}
        self.batch: KeptBatch | None = None
        self.too_large = False
        """Whether more files came than may."""
        self._arrived = arrived
        self._opened: IO[bytes] | None = None

    def close(self) -> None:
        """Close the kept file that `source` may have opened."""
        if self._opened is not None:
            self._opened.close()

    def is_valid(self) -> bool:
        """Check both, so that all complaints are shown at once. Notes the file that was kept by a preview."""
        valid = [self.job.is_valid(), self.params is None or self.params.is_valid()]
        if self.operation.takes_files and not self._note_batch():
            return False
        token = self.job.cleaned_data.get("upload") if "file" in self.job.fields else ""
        if token and not self.job.cleaned_data.get("forget_upload") and self.file is None:
            self.kept = uploads.kept(token, self.request.user)
            if self.kept is None:
                self.job.add_error("file", gettext("The uploaded file is no longer there; choose it again."))
                return False
        if not self._may_take_same_items():
            return False
        listed = self.kept or self.file
        if self.job.cleaned_data.get("items", "").strip() and (listed or self.batch):
            self.job.add_error("items", gettext("There is a file too. Give the items here or in a file, not both."))
            return False
        if len(set(self.answers.values())) < len(self.answers):
            self.job.add_error(None, gettext("The same column was chosen for two fields."))
            return False
        if listed and self.batch:
            self.job.add_error("file", gettext("Files were chosen too. Choose them or list them, not both."))
            return False
        return all(valid)

    def _may_take_same_items(self) -> bool:
        """Whether the box of the earlier run's items can be meant as it was sent; an unasked start of all never can."""
        wish = self.request.POST.get("same_items", "")
        if "same_items" not in self.job.fields:
            if wish not in {"", "False"}:
                self.job.add_error(None, gone())
                return False
            return True
        others = self.job.cleaned_data.get("items", "").strip() or self.kept or self.file or self.batch
        if self.job.cleaned_data.get("same_items") and others:
            self.job.add_error(
                "same_items", gettext("Other items are given too. Take the same ones or give others, not both.")
            )
            return False
        return True

    def _note_batch(self) -> bool:
        """Find the files that came with this request, or with an earlier one; those they replace are deleted."""
        token = self.job.cleaned_data.get("batch") or ""
        before = file_batches.kept(token, self.request.user) if token else None
        arrived = self._arrived
        if arrived is not None and (arrived.problem or arrived.batch is not None):
            if arrived.problem or arrived.batch is None:
                self.too_large = True
                self.batch = before
                self.job.add_error("files", arrived.problem)
                return False
            self.batch, arrived.batch = file_batches.keep(arrived.batch, self.request.user), None
        elif not self.job.cleaned_data.get("forget_batch"):
            self.batch = before
            if token and before is None:
                self.job.add_error("files", gettext("The files are no longer there; choose them again."))
                return False
            return True
        if before is not None:
            batches.give_up(before.batch)
        return True

    @property
    def file(self) -> UploadedFile | None:
        """The uploaded list of items; none where the form does not ask for one, whatever was sent."""
        return self.request.FILES.get("file") if "file" in self.job.fields else None

    @property
    def errors(self) -> bool:
        return bool(self.job.errors or (self.params is not None and self.params.errors))

    @property
    def wrong(self) -> list[forms.BoundField]:
        """The fields that are complained of, in the order of the page."""
        forms_shown = [form for form in (self.params, self.job, self.columns) if form is not None]
        return [field for form in forms_shown for field in form.visible_fields() if field.errors]

    @property
    def carried_answers(self) -> dict[str, str]:
        """The columns that were chosen, as hidden fields."""
        return {PREFIX + name: column for name, column in self.answers.items()}

    def ask_columns(self, fields: Iterable[str], columns: Iterable[str]) -> None:
        """Ask for the columns of these fields, and again for those that were chosen before."""
        self.columns = ColumnsForm(self.operation, {**dict.fromkeys(fields), **self.answers}, columns, self.answers)

    def ask_columns_again(self) -> None:
        """Ask for the column of every field, where the items given are a table; the answers are those in force."""
        if self.operation.Item is None:
            return
        source = None
        try:
            source = self.source()
            next(source.items if source else iter(()), None)
        except InvalidItems:
            pass  # told when it is sent
        reading = source.reading if source is not None else None
        if reading is not None and reading.header:
            names = self.operation.Item().fields
            found = {name: name for name in names if name in reading.header}
            found |= {taken: column for column, taken in reading.columns.items()}
            self.answers = found | self.answers
            self.ask_columns(names, reading.header)

    @property
    def carried(self) -> list[forms.BoundField]:
        """The fields that a preview's form carries along unseen; its file travels as a token."""
        mine = [self.job[name] for name in self.job.fields if name not in _UNSEEN]
        return mine + ([] if self.params is None else list(self.params))

    def source(self) -> Source | None:
        """The items that were given, as a stream that may raise InputError or InputTooLarge; None without any."""
        asked = self.job.cleaned_data
        if asked.get("same_items") and self.again is not None:
            return Source("same_items", self.again.job.input_name, self.again.items(), upload=self.again.upload)
        choice = inputs.Choice(
            format=asked.get("input_format", ""),
            encoding=asked.get("input_encoding", ""),
            columns={column: name for name, column in self.answers.items()},
            lenient=True,
        )
        file = self.file
        if file is not None:
            file.seek(0)
            stream: IO[bytes] = file
            rows = inputs.read_file(stream, file.name or "", self.operation, choice)
            return Source("file", file.name or "", rows, file=file)
        if self.kept is not None:
            self._opened = self.kept.open()
            rows = inputs.read_file(self._opened, self.kept.name, self.operation, choice)
            return Source("file", self.kept.name, rows, kept=self.kept)
        if self.batch is not None:
            return Source(file_batches.FIELD, self.batch.name, iter(self.batch), upload=self.batch.batch)
        text = asked.get("items", "")
        if not text.strip():
            return None
        return Source("items", "", inputs.read_pasted(text, self.operation, choice))

    def refuse_large_file(self) -> None:
        """Raises InputTooLarge, for an upload that was cut off for its size."""
        raise InputTooLarge(
            gettext("The file is larger than %(mb)s MB.") % {"mb": f"{conf().file_bytes // (1024 * 1024):,}"}
        )

    def stored_params(self) -> dict[str, Any]:
        """The parameters as JSON values."""
        return {} if self.params is None else self.operation.as_given(self.params)

    def add_errors(self, errors: dict[str, list[str]]) -> None:
        """Put the services' complaints about parameters next to their fields."""
        for name, texts in errors.items():
            if self.params is not None and name in self.params.fields:
                self.params.add_error(name, texts)
            else:
                self.job.add_error(None, texts)
