"""A job reads the files that came with it and those of open folders, and no other, whoever asks and however."""

from __future__ import annotations

import io
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.test import override_settings
from django.utils import timezone

from bulkops import (
    batches,
    dry_run,
    registry,
    retention,
    services,
    stored_files,
    uploaded_files,
)
from bulkops.exceptions import FileRefused, InputTooLarge, InvalidItems
from bulkops.models import Chunk, Job, Outcome
from bulkops.states import JobState, OutcomeState
from tests.stored import names_below

OPEN = override_settings(BULKOPS={"files_folders": ("inbox",)})


def batch_of(*names, content=b"content"):
    batch = uploaded_files.Batch()
    for name in names:
        batch.add(name, io.BytesIO(content))
    batch.keep()
    return batch


def everything():
    return sorted(names_below("bulkops"))


# -- a batch


def test_a_file_becomes_an_item_with_its_name_size_and_type_by_content():
    (item,) = batch_of("../Holiday photo.jpg", content=b"%PDF-1.4").items
    assert (item["name"], item["size"], item["type"]) == ("Holiday photo.jpg", 8, "application/pdf")
    assert default_storage.open(item["file"]).read() == b"%PDF-1.4"


def test_files_of_one_name_stay_apart():
    first, second = batch_of("a.png", "a.png").items
    assert first["file"] != second["file"]


@pytest.mark.parametrize("limit", [{"upload_files": 2}, {"file_bytes": 6}, {"upload_bytes": 20}])
def test_a_batch_is_bounded(limit):
    with override_settings(BULKOPS=limit), pytest.raises(InputTooLarge):
        batch_of("a", "b", "c")


def test_dropping_a_batch_leaves_nothing():
    batch = batch_of("a", "b")
    uploaded_files.drop(batch.id)
    assert everything() == []


# -- who may read what


REFUSED = [
    "",
    "/etc/passwd",
    "../secret.txt",
    "inbox/../secret.txt",
    "inbox/./a.txt",
    "inbox//a.txt",
    "inbox\\a.txt",
    "inbox/a.txt\x00.png",
    "inbox/\u202etxt.a",
    "C:/a.txt",
    "inbox",
    "inboxes/a.txt",
    "secret.txt",
    "bulkops/uploads/x",
    "bulkops/results/x/0/a.txt",
    "inbox/linked/a.txt",
    "inbox/link.txt",
    "inbox/" + "a" * 600,
    7,
    None,
    {"name": "a"},
    {"file": ["inbox/a.txt"]},
]


@pytest.fixture
def inbox(settings):
    """A folder that is open, with a file, and links that lead out of it."""
    stored_files.replace("inbox/a.txt", b"a")
    stored_files.replace("secret.txt", b"secret")
    root = Path(settings.MEDIA_ROOT)
    (root.parent / "outside").mkdir()
    (root.parent / "outside" / "a.txt").write_text("outside")
    (root / "inbox" / "linked").symlink_to(root.parent / "outside")
    (root / "inbox" / "link.txt").symlink_to(root / "secret.txt")


@OPEN
def test_files_of_an_open_folder_may_be_named(inbox):
    assert uploaded_files.open_file("inbox/a.txt", "").read() == b"a"
    assert uploaded_files.open_file({"file": "inbox/a.txt"}, "").read() == b"a"


@OPEN
@pytest.mark.parametrize("item", REFUSED)
def test_every_other_name_is_refused_in_words(inbox, item):
    with pytest.raises(FileRefused) as refused:
        uploaded_files.open_file(item, "")
    assert refused.value.message.endswith(".")
    assert "secret" not in refused.value.message.replace("“secret.txt”", "")


def test_without_open_folders_nothing_may_be_named(inbox):
    with pytest.raises(FileRefused):
        uploaded_files.check("inbox/a.txt", "")


@OPEN
@override_settings(BULKOPS={"files_folders": ("bulkops", "bulkops/files", "/", "")})
def test_no_setting_opens_what_belongs_to_jobs():
    for item in batch_of("a").items:
        with pytest.raises(FileRefused):
            uploaded_files.check(item, "")


def test_a_batch_is_its_own_jobs_alone():
    mine, other = batch_of("a"), batch_of("b")
    assert uploaded_files.open_file(mine.items[0], mine.id).read() == b"content"
    for batch in (other.id, "", f"{other.id}/..", mine.id[:-1]):
        with pytest.raises(FileRefused):
            uploaded_files.check(mine.items[0], batch)
    with pytest.raises(FileRefused):
        uploaded_files.check(f"bulkops/files/{mine.id}/../{other.id}/000000-b", mine.id)


def test_a_file_that_has_gone_is_told():
    batch = batch_of("a")
    default_storage.delete(batch.items[0]["file"])
    with pytest.raises(FileRefused, match="no file"):
        uploaded_files.open_file(batch.items[0], batch.id)


# -- jobs

database = pytest.mark.django_db(transaction=True)


@database
def test_a_job_reads_its_files_chunk_by_chunk_as_the_operation_says(owner, worker):
    batch = batch_of("a", "b", "c")
    job = services.submit(user=owner, operation="copy-files", items=batch.items, upload=batch.id)
    assert list(Chunk.objects.filter(job=job).order_by("start").values_list("size", flat=True)) == [2, 1]
    assert worker.finish(job).state == JobState.COMPLETED
    copied = [outcome.result["files"][0] for outcome in Outcome.objects.filter(job=job).order_by("position")]
    assert [entry["name"] for entry in copied] == ["copy of a", "copy of b", "copy of c"]


@database
def test_a_dry_run_reads_the_files_and_keeps_none_that_it_makes(owner):
    class Copying(registry.get("copy-files").__class__):
        name = "copy-in-transaction"
        transactional = True

    registry.register(Copying)
    try:
        batch = batch_of("a", "b")
        before = everything()
        checked = services.check(user=owner, operation=Copying.name, items=batch.items, upload=batch.id)
        tried = dry_run.run(checked).tried
        assert [one.state for one in tried] == ["succeeded", "succeeded"]
        assert tried[0].result["files"][0]["name"] == "copy of a"
        assert everything() == before
    finally:
        registry.unregister(Copying.name)


@database
def test_submitting_names_that_may_not_be_read_stores_nothing(owner, inbox):
    with pytest.raises(InvalidItems, match="Item 1, file"), OPEN:
        services.submit(user=owner, operation="copy-files", items=["inbox/a.txt", "secret.txt"])
    assert not Job.objects.exists()


@database
def test_beyond_what_a_request_validates_preparing_refuses_them(owner, worker, inbox):
    with override_settings(BULKOPS={"files_folders": ("inbox",), "validated_in_request": 1}):
        job = services.submit(user=owner, operation="copy-files", items=["inbox/a.txt", "secret.txt"])
        assert job.state == JobState.PREPARING
        assert worker.finish(job).state == JobState.FAILED
    assert "secret.txt" in job.error


@database
def test_a_worker_refuses_what_is_no_longer_open(owner, worker, inbox):
    with OPEN:
        job = services.submit(user=owner, operation="copy-files", items=["inbox/a.txt"])
    worker.finish(job)
    outcome = Outcome.objects.get(job=job)
    assert (outcome.state, outcome.error_code) == (OutcomeState.FAILED, "file-refused")
    assert "not one that this job may read" in outcome.message


@database
def test_a_retry_reads_the_same_batch_and_the_batch_goes_with_both(owner, worker):
    batch = batch_of("a", "b")
    lost = stored_files.shown_name(batch.items[1]["file"])
    Path(default_storage.path(batch.items[1]["file"])).rename(default_storage.path("lost"))
    first = services.submit(user=owner, operation="copy-files", items=batch.items, upload=batch.id)
    worker.finish(first)
    Path(default_storage.path("lost")).rename(default_storage.path(batch.items[1]["file"]))
    child = services.retry(job=first, actor=owner)
    assert worker.finish(child).state == JobState.COMPLETED, lost
    assert uploaded_files.waiting(batch.id) is None
    long_ago = timezone.now() - timedelta(days=100)
    Job.objects.filter(pk=first.pk).update(finished_at=long_ago, created_at=long_ago)
    assert retention.prune().jobs == 0
    assert default_storage.exists(batch.items[0]["file"])
    Job.objects.update(finished_at=long_ago, created_at=long_ago)
    assert retention.prune().jobs == 2
    assert everything() == []


@database
def test_a_batch_that_nobody_starts_is_swept_after_a_day_and_a_started_one_stays(owner, settings):
    left, started, fresh = batch_of("a"), batch_of("b"), batch_of("c")
    services.submit(user=owner, operation="copy-files", items=started.items, upload=started.id)
    # As after a crash between the job's commit and the note's end.
    stored_files.replace(f"{uploaded_files.WAITING}/{started.id}", b"[]")
    long_ago = time.time() - 2 * 24 * 3600
    for batch in (left, started):
        os.utime(default_storage.path(f"{uploaded_files.WAITING}/{batch.id}"), (long_ago, long_ago))
    assert batches.sweep() == 1
    assert uploaded_files.waiting(left.id) is None
    assert uploaded_files.waiting(fresh.id) == fresh.items
    assert {name.split("/")[2] for name in names_below(uploaded_files.FOLDER)} == {started.id, fresh.id}


@database
def test_a_batch_is_not_swept_while_its_token_could_still_start_it():
    batch = batch_of("a")
    just_over_a_day = time.time() - 24 * 3600 - 60
    os.utime(default_storage.path(f"{uploaded_files.WAITING}/{batch.id}"), (just_over_a_day, just_over_a_day))
    assert batches.sweep() == 0
    assert uploaded_files.waiting(batch.id) == batch.items


@database
def test_a_submission_that_is_rolled_back_leaves_its_batch_waiting(owner):
    from django.db import transaction

    batch = batch_of("a")
    with transaction.atomic():
        services.submit(user=owner, operation="copy-files", items=batch.items, upload=batch.id)
        transaction.set_rollback(True)
    assert uploaded_files.waiting(batch.id) == batch.items
