"""`manage.py verify_job`: exit 0 with a line of figures, 1 with what disagrees, 2 for a wrong id."""

from __future__ import annotations

import pytest

from bulkops import services
from bulkops.models import Outcome

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def done(owner, worker):
    return worker.finish(services.submit(user=owner, operation="note", items=["a", "b"]))


def test_an_honest_job_is_one_line_of_figures(run, done):
    ran = run("verify_job", done.pk)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"job {done.pk} agrees: completed; total 2, 2 items in 1 chunks, 2 outcomes:"
        " 2 succeeded, 0 skipped, 0 failed, 0 in_doubt, 0 deferred\n"
    )


def test_a_broken_job_is_a_line_for_each_disagreement(run, done):
    Outcome.objects.filter(job=done, position=1).delete()
    ran = run("verify_job", done.pk)
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "chunk 0: counts 2 succeeded, its outcomes say 1"
    assert f"job {done.pk} disagrees in 3 points: completed" in ran.out


@pytest.mark.parametrize(
    ("name", "words"),
    [("nonsense", "is no job id"), ("00000000-0000-0000-0000-000000000000", "there is no job"), ("", "is no job id")],
)
def test_a_wrong_id_is_one_line_and_exit_2(run, name, words):
    ran = run("verify_job", name)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint


def test_a_missing_id_is_one_line_and_exit_2(run):
    ran = run("verify_job")
    assert ran.code == 2
    assert "ID" in ran.complaint
