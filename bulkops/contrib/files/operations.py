"""What these files can have done to them; bulkops finds it here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms

from bulkops import permissions, result_files
from bulkops.contrib.files import processing, zips
from bulkops.exceptions import InvalidSubmission, NotPermitted
from bulkops.models import Job
from bulkops.operation import Context, Operation
from bulkops.registry import register
from bulkops.uploaded_files import name_of


@register
class ProcessFiles(Operation):
    """Make thumbnails of images and videos, images anew in another size or format, and texts of PDFs."""

    name = "process-files"
    item_name = "file"
    # Decoding takes long enough not to hold a transaction open meanwhile; a file is no part of one anyway.
    transactional = False
    takes_files = True
    parallelism = 4
    chunk_items = 20
    # What a crash of the database repeats only replaces its own files.
    durability = "relaxed"
    item_timeout_seconds = 120.0

    class Params(forms.Form):
        do = forms.ChoiceField(
            label="What to do",
            choices=[("thumbnails", "Thumbnails only"), ("anew", "Thumbnails, and the images anew as below")],
            initial="thumbnails",
        )
        convert_to = forms.ChoiceField(
            label="Convert to",
            required=False,
            choices=[("", "As it is"), ("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WebP")],
        )
        max_width = forms.IntegerField(
            label="Width at most", required=False, min_value=1, max_value=20_000, help_text="Pixels; empty: as it is."
        )
        max_height = forms.IntegerField(
            label="Height at most", required=False, min_value=1, max_value=20_000, help_text="Pixels; empty: as it is."
        )
        quality = forms.IntegerField(
            min_value=1, max_value=95, initial=85, help_text="1 to 95, of JPEG and WebP images."
        )
        thumbnail_size = forms.IntegerField(
            min_value=16, max_value=1_024, initial=256, help_text="Pixels of a thumbnail's longer side."
        )

        def clean(self) -> dict[str, Any]:
            """Who names a format or a size wants images in it: to make thumbnails alone would leave that out unsaid."""
            cleaned: dict[str, Any] = self.cleaned_data
            anew = any(cleaned.get(wish) for wish in ("convert_to", "max_width", "max_height"))
            if cleaned.get("do") == "thumbnails" and anew:
                self.add_error("do", "A format, width or height is for images anew (do=anew).")
            return cleaned

    def process(self, item: Any, params: dict[str, Any], context: Context) -> dict[str, Any]:
        """Everything is made before anything is stored; repeated after a crash, it replaces its own files."""
        name = name_of(item)
        wish = processing.Wish(
            anew=params["do"] == "anew",
            max_width=params["max_width"],
            max_height=params["max_height"],
            format=params["convert_to"],
            quality=params["quality"],
            thumbnail_size=params["thumbnail_size"],
        )
        with context.open_file(item) as file:
            done = processing.process(file, name, file.size, wish)
        saved = [context.save_file(made.name, made.content, made.type, thumbnail=made.thumbnail) for made in done.files]
        return {**done.figures, result_files.KEY: saved}


@register
class ZipResults(Operation):
    """Put all files that a job made together, as zips to download."""

    name = result_files.ZIP_OPERATION
    transactional = False
    item_timeout_seconds = 1_800.0

    most_files: ClassVar[int] = 500
    """Files of one zip, each of which is an item, so that the bar moves."""
    most_bytes: ClassVar[int] = 1024**3

    class Params(forms.Form):
        job = forms.UUIDField(label="The job's id", help_text="It has ended, and its items made files.")

    def authorize(self, user: Any, params: dict[str, Any]) -> None:
        """Whoever may see a job may have its files."""
        job = Job.objects.filter(pk=params["job"]).first()
        if job is None or not permissions.may_see(user, job):
            raise NotPermitted("There is no such job among those that you may see.")
        if job.is_active:
            raise InvalidSubmission("This job has not ended yet; its files can be put together when it has.")

    def items(self, params: dict[str, Any]) -> Iterator[dict[str, int]]:
        """A zip each."""
        found = zips.parts(params["job"], self.most_files, self.most_bytes)
        for number, part in enumerate(found, 1):
            yield {"zip": number, "of": len(found), "first": part.first, "last": part.last, "files": part.files}

    def process(self, item: dict[str, int], params: dict[str, Any], context: Context) -> dict[str, Any]:
        """Written to a file of its own first: a storage takes it in one piece."""
        job = Job.objects.get(pk=params["job"])
        number = f" {item['zip']} of {item['of']}" if item["of"] > 1 else ""
        with tempfile.TemporaryFile() as draft:
            count, gone = zips.write(job, item["first"], item["last"], draft)
            saved = context.save_file(f"{job.name or job.operation}{number}.zip", draft, "application/zip")
        return {"count": count, **({"gone": gone} if gone else {}), result_files.KEY: [saved]}
