"""The README's quick start of the API, typed as it stands there: a real server, a real worker, curl."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from bulkops.models import ApiToken, Job
from tests.clusters import environment
from tests.sites import RealSite
from tests.test_readme import ROOT, blocks, section
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl: apt-get install curl")
def test_the_quick_start_does_what_it_says(cluster: Any, person: Any, tmp_path: Path):
    person("demo", "ticketing.change_ticket")
    event = Event.objects.create(name="CURLED", venue="Here", starts_at=timezone.now())
    for number in (1, 2):
        Ticket.objects.create(pk=number, event=event, code=f"C-{number}", seat=str(number), price=1_000)
    (tmp_path / "job.json").write_text('{"state":"completed","percent":0}')  # what an earlier try left
    (tmp_path / "etag.txt").write_text('W/"earlier"')
    site = RealSite(tmp_path / "site.log")
    site.start()
    try:
        (typed,) = blocks(section("The HTTP API"), "sh")
        typed = typed.replace(".venv/bin/python manage.py", f"{sys.executable} {ROOT / 'manage.py'}")
        done = subprocess.run(
            ["bash", "-euc", typed.replace("127.0.0.1:8000", f"127.0.0.1:{site.port}")],
            cwd=tmp_path,
            env=environment(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1"),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        site.kill()
    assert done.returncode == 0, done.stderr
    status, _, report = done.stdout.partition("}position,")
    job = Job.objects.get()
    assert json.loads(status + "}")["id"] == str(job.pk)
    assert [line.split(",")[2] for line in report.splitlines()[1:]] == ["succeeded", "succeeded", "skipped"]
    assert (tmp_path / "etag.txt").read_text().startswith('W/"')
    assert json.loads((tmp_path / "job.json").read_text())["percent"] == 100
    assert set(Ticket.objects.values_list("price", flat=True)) == {1_050}


def test_the_command_makes_a_token_that_works(owner: Any, capsys: Any):
    call_command("api_token", "laptop", "--user", "owner")
    text = capsys.readouterr().out.strip()
    assert Client(headers={"Authorization": f"Token {text}"}).get("/api/jobs/").status_code == 200
    assert ApiToken.objects.get().name == "laptop"
    for name, user in (("", "owner"), ("x" * 101, "owner"), ("laptop", "nobody")):
        with pytest.raises(SystemExit, match="2"):
            call_command("api_token", name, "--user", user)
