"""Where and when it was measured: what a reader needs to compare figures of two runs. No name, no path, no address."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import django
import psycopg2
from django.db import connection

from tests.bench.database import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "track_commit_timestamp",
    "shared_buffers",
    "max_connections",
)
TRIES, SYNCS = 200, 50


def facts(data: Path | None) -> dict[str, Any]:
    """All but the disk's, which changes from round to round; `data`: the folder of a server of our own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(SETTINGS)])
        server = dict(cursor.fetchall())
        began = time.perf_counter()
        for _ in range(TRIES):
            cursor.execute("SELECT 1")
        round_trip = (time.perf_counter() - began) / TRIES
        cursor.execute("SELECT current_setting('server_version')")
        (version,) = cursor.fetchone()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain")),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "django": django.get_version(),
        "psycopg2": psycopg2.__version__.split()[0],
        "postgresql": version.split()[0],
        "server": server,
        "embedded": data is not None,
        "round_trip_us": round(round_trip * 1e6),
    }


def told(known: dict[str, Any]) -> str:
    """In one paragraph."""
    server = ", ".join(f"{name} {value}" for name, value in sorted(known["server"].items()))
    where = "on a private server of the run's own" if known["embedded"] else "on the server of DATABASE_URL"
    return (
        f"Measured on {known['date'][:10]} at commit {known['commit']}{' with changes' * known['changed']}: "
        f"{known['cores']} cores ({known['cpu']}), Python {known['python']}, Django {known['django']}, psycopg2 "
        f"{known['psycopg2']}, PostgreSQL {known['postgresql']} {where} ({server}). A round trip through Django's "
        f"cursor took {known['round_trip_us']} µs at the beginning, when the load was {known['load_at_start']}."
        f"{_disk_told(known)}"
    )


def _disk_told(known: dict[str, Any]) -> str:
    if "fdatasync_us" not in known:
        return ""
    least, most = known["fdatasync_us_from_to"]
    return f" An fdatasync took {known['fdatasync_us']} µs, in single rounds {least} to {most}."


def disk(rounds: Iterable[float]) -> dict[str, Any]:
    """What `fdatasync_us` came to before each round."""
    took = list(rounds) or [0.0]
    return {"fdatasync_us": round(median(took)), "fdatasync_us_from_to": [round(min(took)), round(max(took))]}


def fdatasync_us(data: Path | None) -> float:
    """The median of writing 8 KB beside the server's data, or where this checkout lies, and waiting for the disk."""
    folder = data.parent if data else ROOT
    page, took = b"\0" * 8192, []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            os.pwrite(file.fileno(), page, 0)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took) * 1e6


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
