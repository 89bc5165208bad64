"""*submit*: what a submission takes until it is answered, over HTTP to gunicorn, by file, by JSON and by query.

By query the answer comes at once, and a worker collects the items: that counts until the last of them is stored. Beside
it a table with a row for each item, filled by COPY.
"""

from __future__ import annotations

import io
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2
from django.db import connection

from bulkops.models import Event, Job
from bulkops.states import EventKind
from tests.bench.figures import Figure
from tests.bench.web import Memory, serving, token_of
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.stage import Stage
    from tests.bench.web import Web

LOOK_SECONDS = 0.003
MILLION, QUICK_MILLION = 1_000_000, 100_000
EDGE = "a-line-that-is-in-no-file"

FIGURES = (
    Figure(name="submit, CSV", words="a million rows of two columns, until the answer", of="csv.seconds", unit="s",
           at_most=6),
    Figure(name="submit, CSV, memory", words="what the web process needs more for it", of="csv.memory", unit="MB",
           at_most=150),
    Figure(name="submit, CSV, lock", words="for how long its user's row is locked", of="csv.locked", unit="s",
           at_most=1),
    Figure(name="submit, query", words="a million items, until a worker has collected them", of="query.seconds",
           unit="s", at_most=3),
    Figure(name="submit, query, answer", words="the same, until the answer", of="query.answer", unit="s"),
    Figure(name="submit, a row for each item", words="a million of them by COPY ÷ a million by query", of="rows",
           against="query.seconds"),
    Figure(name="submit, JSON", words="100,000 items, until the answer", of="json.seconds", unit="s"),
    Figure(name="submit, JSON, memory", words="what the web process needs more for it", of="json.memory", unit="MB"),
    Figure(name="submit, CSV, 100,000", words="100,000 rows, until the answer", of="tenth.seconds", unit="s"),
    Figure(name="submit, CSV, 1,000", words="a thousand rows, until the answer", of="short.seconds", unit="s"),
    Figure(name="submit, query, 100,000", words="100,000 items, until a worker has collected them",
           of="tenth_query.seconds", unit="s"),
    Figure(name="submit, query, 1,000", words="a thousand items, until a worker has collected them",
           of="short_query.seconds", unit="s"),
)  # fmt: skip


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    million = QUICK_MILLION if stage.quick else MILLION
    tenth, short = million // 10, 1_000
    files = {rows: _file(stage.folder / f"{rows}.form", rows) for rows in (million, tenth, short)}
    few = json.dumps({"operation": "bench-unserved", "items": list(range(100_000))}).encode()
    with stage.cluster(workers=1), serving(stage) as web:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE bench_source AS SELECT n AS id FROM generate_series(1, %s) n", [million])
            cursor.execute("ALTER TABLE bench_source ADD PRIMARY KEY (id)")
            cursor.execute("ANALYZE bench_source")
        _submitted(stage, web, files[short].read_bytes(), FORM)  # what is loaded at the first request
        try:
            yield {
                "csv": lambda: _from_file(stage, web, files[million]),
                "tenth": lambda: _from_file(stage, web, files[tenth]),
                "short": lambda: _from_file(stage, web, files[short]),
                "json": lambda: _submitted(stage, web, few, "application/json"),
                "query": lambda: _by_query(stage, web, million),
                "tenth_query": lambda: _by_query(stage, web, tenth),
                "short_query": lambda: _by_query(stage, web, short),
                "rows": lambda: _a_row_each(million),
            }
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE bench_source")


FORM = f"multipart/form-data; boundary={EDGE}"


def _file(path: Path, rows: int) -> Path:
    """A form as a browser sends it, with a file of so many rows."""
    with path.open("w") as out:
        out.write(f'--{EDGE}\r\nContent-Disposition: form-data; name="operation"\r\n\r\nbench-unserved\r\n')
        out.write(f'--{EDGE}\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n')
        out.write("Content-Type: text/csv\r\n\r\nticket,cents\n")
        out.writelines(f"{n},{n % 5000}\n" for n in range(rows))
        out.write(f"\r\n--{EDGE}--\r\n")
    return path


def _from_file(stage: Stage, web: Web, path: Path) -> dict[str, float]:
    with path.open("rb") as body:
        return _submitted(stage, web, body, FORM, Content_Length=str(path.stat().st_size))


def _submitted(stage: Stage, web: Web, body: Any, kind: str, **headers: str) -> dict[str, float]:
    (pid,) = web.workers()
    person = stage.person()
    memory = Memory(pid)
    with Locked(stage.owned.url) as locked:
        began = time.perf_counter()
        answer = web.post("/api/jobs/", body, Content_Type=kind, **headers, **token_of(person))
        seconds = time.perf_counter() - began
    assert answer.status == 202, answer.content
    found = {"seconds": seconds, "memory": memory.more(), "locked": locked.longest}
    stage.end(Job.objects.get(pk=json.loads(answer.content)["id"]))
    return found


def _by_query(stage: Stage, web: Web, items: int) -> dict[str, float]:
    body = json.dumps({"operation": "bench-query", "limit": items}).encode()
    began = time.perf_counter()
    answer = web.post("/api/jobs/", body, Content_Type="application/json", **token_of(stage.person()))
    answered = time.perf_counter() - began
    assert answer.status == 202, answer.content
    job = Job.objects.get(pk=json.loads(answer.content)["id"])
    collected = Event.objects.filter(job=job, kind=EventKind.ITEMS_COLLECTED)
    wait_for(collected.exists, 120, "the items")
    seconds = (collected.get().at - job.created_at).total_seconds()
    job.refresh_from_db()
    assert job.total == items
    stage.end(job)
    return {"seconds": seconds, "answer": answered}


def _a_row_each(million: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE bench_item (id bigserial PRIMARY KEY, job uuid, n int, item jsonb, UNIQUE (job, n))"
        )
        try:
            began = time.perf_counter()
            cursor.execute("SELECT id FROM bench_source ORDER BY id")
            rows = "".join(f"00000000-0000-0000-0000-000000000000\t{n}\t{n}\n" for (n,) in cursor.fetchall())
            cursor.copy_expert("COPY bench_item (job, n, item) FROM STDIN", io.StringIO(rows))
            return time.perf_counter() - began
        finally:
            cursor.execute("DROP TABLE bench_item")


class Locked:
    """Watches for how long somebody's transaction holds rows of the users' table locked."""

    def __init__(self, url: str) -> None:
        self._line = psycopg2.connect(url)
        self._line.autocommit = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.longest = 0.0

    def __enter__(self) -> Locked:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._line.close()

    def _watch(self) -> None:
        since: float | None = None
        with self._line.cursor() as cursor:
            while not self._over.wait(LOOK_SECONDS):
                cursor.execute(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'auth_user'::regclass AND mode = 'RowShareLock'"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
                if not cursor.fetchone()[0]:
                    since = None
                    continue
                since = since or time.perf_counter()
                self.longest = max(self.longest, time.perf_counter() - since)
