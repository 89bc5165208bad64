"""The code before a migration, at work on the tables after it: its models as they were, and the SQL that it sent.

During a deploy workers and web servers of the former release run for minutes with the new tables. Their models are
rebuilt from the migrations; their hand-written SQL stands in the files beside this one, one for each migration that was
the newest of a release.
"""

from __future__ import annotations

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.utils import timezone

if TYPE_CHECKING:
    from django.apps.registry import Apps


def statements(release: str) -> dict[str, str]:
    """The SQL of that release by name."""
    text = (Path(__file__).parent / f"{release}.sql").read_text()
    parts = re.split(r"^-- (.*)\n", text, flags=re.MULTILINE)[3:]
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def work(apps: Apps, release: str, alias: str) -> None:
    """Insert a row of every model, run the release's SQL among them, read, update and delete each row."""
    rows = _insert(apps, alias)
    assert {type(row) for row in rows} >= set(apps.get_app_config("bulkops").get_models()), "a model has no row here"
    job = next(row for row in rows if row._meta.model_name == "job")
    cluster = next(row for row in rows if row._meta.model_name == "cluster")
    _send(statements(release), alias, str(job.pk), cluster.pk)
    for row in rows:
        assert type(row).objects.using(alias).get(pk=row.pk) == row
        row.save(force_update=True)
    for name in ("outcome", "chunk", "manifest"):
        assert apps.get_model("bulkops", name).objects.using(alias).filter(job=job).delete()[0]
    for row in reversed(rows):
        assert row.pk is None or type(row).objects.using(alias).filter(pk=row.pk).delete()
    with connections[alias].cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _insert(apps: Apps, alias: str) -> list[Any]:
    now = timezone.now()

    def create(model: str, /, **values: Any) -> Any:
        rows.append(apps.get_model("bulkops", model).objects.using(alias).create(**values))
        return rows[-1]

    user = apps.get_model("auth", "User").objects.using(alias).create(username="somebody", password="")
    rows = [user]
    cluster = create("cluster", name="old", alive_until=now + timedelta(hours=1), workers=1, queues=["default"])
    job = create("job", operation="note", owner=user, state="queued", slot=f"user:{user.pk}", total=3)
    create("turn", job=job, number=0, due=now)
    create("chunk", job=job, number=1, start=2, size=1, holder=cluster)
    create("manifest", job=job, number=1, payload=b"x")
    create("outcome", job=job, position=2, state="failed", finished_at=now)
    create("event", job=job, kind="submitted", actor=user)
    create("idempotencykey", user=user, key="key", fingerprint="f", job=job)
    if "apitoken" in apps.all_models["bulkops"]:
        create("apitoken", user=user, name="script", digest="d", ending="abcd")
        create("attempts", key="k", hits=1, ends_at=now)
    if "endpoint" in apps.all_models["bulkops"]:
        endpoint = create("endpoint", owner=user, url="https://example.org/", events=["job.completed"], holder=cluster)
        delivery = create("delivery", endpoint=endpoint, job=job, event="job.completed", body="{}", due=now)
        create("deliveryattempt", delivery=delivery, seconds=0.1, status=200)
    if "failuregroup" in apps.all_models["bulkops"]:
        create("failuregroup", job=job, fingerprint="f", shard=0, count=1, error_code="no", words="no", samples=[2])
    if "pace" in apps.all_models["bulkops"]:
        create("pace", job=job, seconds=[0.0], items=[0], sampled_at=now)
    if "tally" in apps.all_models["bulkops"]:
        create("tally", name="items", labels=["note"], counts=[1, 0, 0])
    return rows


def _send(sql: dict[str, str], alias: str, job: str, cluster: int) -> None:
    with connections[alias].cursor() as cursor:

        def row_of(statement: str, values: Any = None) -> Any:
            cursor.execute(statement, values)
            row = cursor.fetchone()
            assert row is not None, statement
            return row

        cursor.copy_expert(sql["copy chunks"], io.StringIO(f"{job}\t0\t0\t2\t0\t0\t0\t0\t0\t0\t0\tf\tf\n"))
        cursor.copy_expert(sql["copy manifests"], io.StringIO(f"{job}\t0\t\\\\x00\n"))
        row_of(sql["enqueue"], ["bulkops:default", "payload", 0.0, "bulkops_default"])
        assert row_of(sql["places"], [[job]])[1] == 0
        chunk, epoch, *_ = row_of(sql["claim"], {"job": job, "cluster": cluster, "worker": 1})
        for name, text in sql.items():
            if name.startswith("prepare"):
                cursor.execute(text)
        ten = ", ".join(["%s"] * 10)
        if "prepare begin" in sql:
            row_of("EXECUTE bulkops_begin (%s, %s, %s, %s)", [chunk, epoch, 0, 1])
        row_of(f"EXECUTE bulkops_advance ({ten})", [chunk, epoch, 0, 0, "deferred", 1, "later", "", None, 1.0])
        row_of(f"EXECUTE bulkops_advance ({ten})", [chunk, epoch, 1, 1, "succeeded", 1, "", "", "1", 0.0])
        row_of(f"EXECUTE bulkops_resolve ({ten})", [chunk, epoch, 0, 1, "failed", 2, "no", "words", None, 0.0])
        cursor.execute("DEALLOCATE ALL")
