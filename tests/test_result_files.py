"""Files that items make: each item has its own, a repetition replaces it, and all go with their job."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from bulkops import result_files, retention, services, stored_files
from bulkops.models import Job, Outcome
from bulkops.operation import Context
from bulkops.states import JobState
from tests.stored import names_below


def context(job_id, position=0, attempt=1):
    return Context(
        job_id=job_id,
        position=position,
        attempt=attempt,
        root_job_id=job_id,
        root_position=position,
        say=print,
        stop_asked=lambda: False,
    )


def test_what_is_saved_is_described_for_the_items_result():
    job_id = uuid.uuid4()
    entry = context(job_id, 7).save_file("Übersicht.pdf", b"%PDF-", "application/pdf")
    assert entry["path"].startswith(f"bulkops/results/{job_id}/7/")
    assert {**entry, "path": ""} == {"name": "Übersicht.pdf", "size": 5, "type": "application/pdf", "path": ""}
    (read,) = result_files.of_result(job_id, 7, {"files": [entry]})
    assert default_storage.open(read.path).read() == b"%PDF-"


def test_the_type_is_guessed_from_the_name_where_none_is_given():
    assert context(uuid.uuid4()).save_file("a.csv", io.BytesIO(b"a"))["type"] == "text/csv"
    assert context(uuid.uuid4()).save_file("a", b"")["type"] == "application/octet-stream"


def test_a_repeated_item_leaves_one_file_and_another_item_has_its_own():
    job_id = uuid.uuid4()
    first = context(job_id, 0).save_file("a.txt", b"first try")
    again = context(job_id, 0, attempt=2).save_file("a.txt", b"again")
    other = context(job_id, 1).save_file("a.txt", b"other")
    assert first["path"] == again["path"] != other["path"]
    assert len(list(names_below("bulkops/results"))) == 2
    assert default_storage.open(again["path"]).read() == b"again"


@pytest.mark.parametrize("name", ["../../../x", "/etc/passwd", "..\\x", "\x00", "", "../1/a.txt"])
def test_no_name_leaves_the_items_folder(name):
    job_id = uuid.uuid4()
    path = context(job_id).save_file(name, b"x")["path"]
    assert path.rpartition("/")[0] == f"bulkops/results/{job_id}/0"
    assert default_storage.exists(path)


@pytest.mark.parametrize(
    "path",
    [
        "bulkops/results/JOB/1/a.txt",
        "bulkops/results/JOB/0/../1/a.txt",
        "bulkops/results/JOB/0/..",
        "bulkops/results/JOB/0/",
        "bulkops/results/OTHER/0/a.txt",
        "/etc/passwd",
        "secret.txt",
        "",
        7,
        None,
    ],
)
def test_a_result_that_names_a_file_elsewhere_names_none(path):
    job_id = uuid.uuid4()
    if isinstance(path, str):
        path = path.replace("JOB", str(job_id)).replace("OTHER", str(uuid.uuid4()))
    assert result_files.of_result(job_id, 0, {"files": [{"path": path, "name": "a"}]}) == []


@pytest.mark.parametrize("result", [None, [], "files", {"files": "x"}, {"files": {"path": "x"}}, {"files": [1, None]}])
def test_results_of_another_shape_name_no_files(result):
    assert result_files.of_result(uuid.uuid4(), 0, result) == []


@pytest.mark.django_db(transaction=True)
def test_files_of_items_go_with_their_old_job_and_with_no_other(owner, worker):
    stored_files.replace("in/a.txt", b"a")
    jobs = []
    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bulkops.uploaded_files._is_open", lambda path, batch: True)
            job = services.submit(user=owner, operation="copy-files", items=["in/a.txt"])
            assert worker.finish(job).state == JobState.COMPLETED
        jobs.append(job)
    old, young = jobs
    stored_files.replace(f"bulkops/results/{old.pk}/9/lost.txt", b"of a worker that died")
    long_ago = timezone.now() - timezone.timedelta(days=100)
    Job.objects.filter(pk=old.pk).update(created_at=long_ago, finished_at=long_ago)
    assert retention.prune().jobs == 1
    assert not default_storage.exists(f"bulkops/results/{old.pk}")
    (entry,) = Outcome.objects.get(job=young).result["files"]
    assert list(names_below("bulkops/results")) == [entry["path"]]


@pytest.mark.django_db(transaction=True)
def test_files_of_a_dry_run_that_was_killed_are_swept_a_day_later_and_no_jobs_are(monkeypatch):
    job_id, killed = uuid.uuid4(), result_files.id_of_a_dry_run()
    for one in (job_id, killed):
        context(one).save_file("a.txt", b"a")
    retention.prune()
    assert set(default_storage.listdir(result_files.FOLDER)[0]) == {str(job_id), str(killed)}
    monkeypatch.setattr(result_files, "KEPT_FOR", timedelta(seconds=-1))
    retention.prune()
    assert default_storage.listdir(result_files.FOLDER)[0] == [str(job_id)]
