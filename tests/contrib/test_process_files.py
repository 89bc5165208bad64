"""process-files and zip-results as jobs: from the page and the shell, on real files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from bulkops import registry, services, uploaded_files
from bulkops.exceptions import InvalidParams
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from tests.sample import pictures
from tests.stored import names_below
from tests.web.conftest import logged_in

pytestmark = pytest.mark.django_db(transaction=True)


def samples():
    """Real files, one of each kind."""
    return {
        "grace_hopper.jpg": pictures.HOPPER.read_bytes(),
        "Minduka.png": pictures.MINDUKA.read_bytes(),
        "logo2.png": pictures.LOGO.read_bytes(),
        "plot.pdf": pictures.pdf(),
        "turning.mp4": pictures.video(),
    }


@pytest.fixture
def processed(owner, worker):
    """Ends a job of these files; each may be given as a pair of name and content."""

    def run(files=None, **params):
        batch = uploaded_files.Batch()
        for name, content in files or samples().items():
            batch.add(name, io.BytesIO(content))
        job = services.submit(
            user=owner, operation="process-files", params=params, items=batch.items, upload=batch.id, name="Holiday"
        )
        return worker.finish(job)

    return run


def results(job):
    return [outcome.result for outcome in Outcome.objects.filter(job=job).order_by("position")]


@pytest.mark.slow
def test_every_kind_of_file_gives_its_figures_and_files(processed):
    job = processed(do="anew", max_width=100, convert_to="WEBP")
    assert job.state == JobState.COMPLETED
    assert [result["kind"] for result in results(job)] == ["image", "image", "image", "PDF", "video"]
    assert [entry["name"] for result in results(job) for entry in result["files"]] == [
        "grace_hopper.webp", "grace_hopper.thumb.jpg", "Minduka.webp", "Minduka.thumb.png", "logo2.webp",
        "logo2.thumb.png", "plot.txt", "turning.thumb.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "params", [{"do": "x"}, {"quality": 96}, {"thumbnail_size": 5}, {"convert_to": "TIFF"}, {"max_width": 0}]
)
def test_wrong_wishes_are_refused_before_anything_is_stored(processed, params):
    with pytest.raises(Exception, match=next(iter(params))):
        processed(**params)
    assert not Job.objects.exists()


@pytest.mark.parametrize("wish", [{"convert_to": "WEBP"}, {"max_width": 300}, {"max_height": 300}])
def test_a_wish_for_images_anew_is_refused_with_thumbnails_only_and_not_left_out(processed, wish):
    with pytest.raises(InvalidParams) as refusal:
        processed(**wish)
    assert list(refusal.value.errors) == ["do"]
    assert "do=anew" in str(refusal.value.errors)
    assert not Job.objects.exists()


def test_the_page_takes_many_files_and_shows_what_became_of_them(owner, worker):
    client = logged_in(owner)
    files = [SimpleUploadedFile(name, content) for name, content in samples().items()]
    params = {"do": "thumbnails", "quality": 85, "thumbnail_size": 64, "convert_to": ""}
    response = client.post("/operations/process-files/", {**params, "files": files, "action": "start"})
    job = worker.finish(Job.objects.get())
    assert response["Location"] == job.get_absolute_url()
    page = client.get(job.get_absolute_url()).content.decode()
    assert page.count("<img src=") == 4
    assert "plot.txt" in page
    assert "All together as a zip" in page


def test_the_shell_takes_files_of_this_machine(owner, worker, tmp_path):
    from django.core.management import call_command

    for name, content in samples().items():
        (tmp_path / name).write_bytes(content)
    said = io.StringIO()
    paths = sorted(map(str, tmp_path.glob("*.*")))
    call_command("enqueue", "process-files", "--user", "owner", "--files", *paths, stdout=said)
    job = worker.finish(Job.objects.get(pk=said.getvalue().strip()))
    assert (job.state, job.total) == (JobState.COMPLETED, 5)


# -- all together


def unzipped(job):
    """Each zip of the job as a dictionary of its files."""
    found = []
    for result in results(job):
        (entry,) = result["files"]
        with zipfile.ZipFile(default_storage.open(entry["path"])) as archive:
            assert archive.testzip() is None
            found.append({name: archive.read(name) for name in archive.namelist()})
    return found


def test_a_button_of_an_ended_job_makes_a_job_that_zips_its_files(processed, owner, worker):
    job = processed()
    client = logged_in(owner)
    response = client.post(reverse("bulkops:job-zip", args=[job.pk]))
    zipping = worker.finish(Job.objects.get(operation="zip-results"))
    assert response["Location"] == zipping.get_absolute_url()
    assert zipping.state == JobState.COMPLETED
    (archive,) = unzipped(zipping)
    assert set(archive) == {
        "thumbnails/grace_hopper.thumb.jpg", "thumbnails/Minduka.thumb.png", "thumbnails/logo2.thumb.png",
        "plot.txt", "thumbnails/turning.thumb.jpg",
    }  # fmt: skip
    for result in results(job):
        for entry in result["files"]:
            name = f"{'thumbnails/' if entry.get('thumbnail') else ''}{entry['name']}"
            assert archive[name] == default_storage.open(entry["path"]).read()
    page = client.get(zipping.get_absolute_url()).content.decode()
    assert f'href="{reverse("bulkops:item-file", args=[zipping.pk, 0, 0])}" download>Holiday.zip</a>' in page
    assert "All together" not in page


@pytest.mark.parametrize(("headers", "status"), [({}, 403), ({"HX-Request": "true"}, 422)])
def test_a_job_that_somebody_may_not_see_is_refused_on_the_form_which_keeps_what_was_typed(
    processed, person, headers, status
):
    job = processed()
    client = logged_in(person("stranger"))
    where = reverse("bulkops:operation", args=["zip-results"])
    response = client.post(where, {"job": str(job.pk), "name": "Mine", "action": "start"}, headers=headers)
    page = response.content.decode()
    assert response.status_code == status
    assert "There is no such job among those that you may see." in page
    assert f'value="{job.pk}"' in page
    assert 'value="Mine"' in page
    assert not Job.objects.filter(operation="zip-results").exists()


def test_files_of_one_name_get_names_of_their_own(processed, owner, worker):
    job = processed([("a.pdf", pictures.pdf(pages=n)) for n in (1, 2)] + [("A.pdf", pictures.pdf(pages=3))])
    zipping = worker.finish(services.submit(user=owner, operation="zip-results", params={"job": str(job.pk)}))
    (archive,) = unzipped(zipping)
    assert list(archive) == ["a.txt", "a (2).txt", "A (3).txt"]
    assert [text.count(b"Curve") for text in archive.values()] == [1, 2, 3]


def test_many_files_become_several_zips_so_that_the_bar_moves(processed, owner, worker, monkeypatch):
    job = processed()
    monkeypatch.setattr(registry.get("zip-results"), "most_files", 2, raising=False)
    zipping = worker.finish(services.submit(user=owner, operation="zip-results", params={"job": str(job.pk)}))
    archives = unzipped(zipping)
    assert [len(archive) for archive in archives] == [2, 2, 1]
    assert [result["files"][0]["name"] for result in results(zipping)] == [
        f"process-files {number} of 3.zip".replace("process-files", "Holiday") for number in (1, 2, 3)
    ]


def test_a_file_that_is_gone_is_counted_and_the_rest_is_zipped(processed, owner, worker):
    job = processed()
    default_storage.delete(results(job)[0]["files"][0]["path"])
    zipping = worker.finish(services.submit(user=owner, operation="zip-results", params={"job": str(job.pk)}))
    assert [(result["count"], result["gone"]) for result in results(zipping)] == [(4, 1)]


def test_only_who_may_see_a_job_zips_its_files(processed, colleague, stranger, worker):
    job = processed()
    address = reverse("bulkops:job-zip", args=[job.pk])
    assert logged_in(stranger).post(address).status_code == 404
    response = logged_in(stranger).post("/operations/zip-results/", {"job": str(job.pk), "action": "start"})
    assert response.status_code == 403
    assert not Job.objects.filter(operation="zip-results").exists()
    logged_in(colleague).post(address)
    zipping = worker.finish(Job.objects.get(operation="zip-results"))
    assert (zipping.owner, zipping.state) == (colleague, JobState.COMPLETED)


def test_a_zip_needs_the_slot_like_any_job_and_a_second_press_leads_to_the_first(processed, owner, worker):
    job = processed()
    client = logged_in(owner)
    address = reverse("bulkops:job-zip", args=[job.pk])
    first, second = client.post(address), client.post(address)
    assert first["Location"] == second["Location"]
    worker.finish(Job.objects.get(operation="zip-results"))
    other = services.submit(user=owner, operation="note", items=["a"])
    refused = client.post(address)
    assert refused.status_code == 409
    assert str(other.pk) in refused.content.decode()


def test_files_of_a_job_that_still_runs_are_not_zipped(owner, worker):
    batch = uploaded_files.Batch()
    batch.add("a.jpg", io.BytesIO(pictures.jpeg()))
    job = services.submit(user=owner, operation="process-files", items=batch.items, upload=batch.id)
    response = logged_in(owner).post(reverse("bulkops:job-zip", args=[job.pk]))
    assert response.status_code in {409, 422}
    assert Job.objects.count() == 1


def test_the_files_of_a_zip_lie_in_its_own_job_alone(processed, owner, worker):
    job = processed()
    zipping = worker.finish(services.submit(user=owner, operation="zip-results", params={"job": str(job.pk)}))
    (path,) = names_below(f"bulkops/results/{zipping.pk}")
    assert Path(path).suffix == ".zip"
