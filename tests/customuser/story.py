"""From an empty database to a finished job, in a project with a user model of its own; run as a program.

Prints one JSON object of what was seen, for `test_customuser`.
"""

from __future__ import annotations

import io
import json

import django
from django.core.management import call_command


def story() -> dict[str, object]:
    """Migrate, submit, be refused, work, look."""
    call_command("migrate", "--run-syncdb", verbosity=0)

    from django.contrib.auth import get_user_model
    from django.test import Client, override_settings

    from bulkops import ActiveJobExists, services
    from bulkops.models import Event, Job
    from bulkops.testing import run
    from bulkops.verify import verify
    from tests.worker import InProcessWorker

    seen: dict[str, object] = {}
    person = get_user_model().objects.create_user("ann@example.org", "secret")
    job = services.submit(user=person, operation="note", items=["a", "b"], idempotency_key="once")
    seen["slot"] = job.slot == f"user:{person.pk}"
    try:
        services.submit(user=person, operation="note", items=["c"])
    except ActiveJobExists as refusal:
        seen["refused"] = refusal.job == job
    seen["replayed"] = services.submit(user=person, operation="note", items=["a", "b"], idempotency_key="once") == job
    InProcessWorker().drain()
    job.refresh_from_db()
    seen["state"] = job.state
    verdict = verify(job.pk)
    seen["agrees"] = verdict is not None and verdict.agrees
    ran = run("guarded", ["a"])
    seen["made_up"] = (ran.state, ran.job.owner.email.endswith("@example.org"), ran.job.owner.is_superuser)
    seen["found"] = Job.objects.found("ann@").get() == job
    seen["actor"] = Event.objects.get(kind="submitted", job=job).actor == person
    out = io.StringIO()
    call_command("jobs", "--user", "ann@example.org", "--json", stdout=out)
    seen["owner"] = json.loads(out.getvalue())[0]["owner"]
    client = Client()
    with override_settings(ALLOWED_HOSTS=["*"]):
        seen["login"] = client.login(email="ann@example.org", password="secret")
        seen["page"] = client.get(job.get_absolute_url()).status_code
    return seen


if __name__ == "__main__":
    django.setup()
    print(json.dumps(story()))
