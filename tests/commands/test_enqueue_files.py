"""`enqueue --files`: files of this machine become a job's items, and what is refused leaves nothing behind."""

from __future__ import annotations

import pytest

from bulkops import services, stored_files
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from tests.sample import pictures
from tests.stored import names_below

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def paths(tmp_path):
    """Two files of real content."""
    for name, content in (("one.png", pictures.png()), ("two.pdf", pictures.pdf())):
        (tmp_path / name).write_bytes(content)
    return [tmp_path / "one.png", tmp_path / "two.pdf"]


def left():
    return list(names_below("bulkops"))


def test_local_files_become_items(run, owner, worker, paths):
    ran = run("enqueue", "copy-files", "--user", "owner", "--files", *paths)
    assert ran.code == 0
    job = worker.finish(Job.objects.get(pk=ran.out.strip()))
    assert (job.state, job.total, job.input_name) == (JobState.COMPLETED, 2, "2 files")
    copied = [one.result["files"][0] for one in Outcome.objects.filter(job=job).order_by("position")]
    assert [(entry["name"], entry["size"]) for entry in copied] == [
        (f"copy of {path.name}", path.stat().st_size) for path in paths
    ]


def test_a_dry_run_with_files_leaves_none(run, owner, paths):
    ran = run("enqueue", "copy-files", "--user", "owner", "--dry-run", "--files", *paths)
    assert "with 2 items" in ran.out
    assert (left(), Job.objects.count()) == ([], 0)


def test_the_same_files_with_the_same_key_are_answered_with_the_same_job(run, owner, worker, paths):
    arguments = ("enqueue", "copy-files", "--user", "owner", "--idempotency-key", "k", "--files", *paths)
    first = run(*arguments)
    worker.finish(Job.objects.get())
    before = left()
    again = run(*arguments)
    assert (again.code, again.out) == (0, first.out)
    assert left() == before
    paths[0].write_bytes(paths[0].read_bytes() + b"changed")
    assert run(*arguments).code == 2
    assert left() == before


def test_a_refusal_leaves_none(run, owner, paths):
    services.submit(user=owner, operation="note", items=["a"])
    assert run("enqueue", "copy-files", "--user", "owner", "--files", *paths).code == 3
    assert left() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["note", "--files", "{one}"], "takes no files"),
        (["copy-files", "--files", "{one}", "--items", "-"], "not both"),
        (["copy-files", "--files", "{one}", "{one}.gone"], "cannot read"),
        (["copy-files", "--files", "{folder}"], "cannot read"),
        (["copy-files"], "choose the files"),
        (["copy-files", "--items", "{list}"], "not one that this job may read"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(run, owner, paths, tmp_path, arguments, words):
    (tmp_path / "list.csv").write_text(f"file\n{str(paths[0]).lstrip('/')}\n")
    known = {"one": paths[0], "folder": tmp_path, "list": tmp_path / "list.csv"}
    name, *rest = arguments
    ran = run("enqueue", name, "--user", "owner", *(argument.format(**known) for argument in rest))
    assert ran.code == 2
    assert words in ran.complaint
    assert (left(), Job.objects.count()) == ([], 0)


def test_names_in_an_open_folder_are_read_from_a_list(run, owner, worker, settings, tmp_path):
    settings.BULKOPS = {"files_folders": ("inbox",)}
    stored_files.replace("inbox/a.txt", b"a")
    (tmp_path / "list.csv").write_text("file\ninbox/a.txt\n")
    ran = run("enqueue", "copy-files", "--user", "owner", "--items", tmp_path / "list.csv")
    assert worker.finish(Job.objects.get(pk=ran.out.strip())).state == JobState.COMPLETED
