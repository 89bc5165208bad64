"""What a cluster costs the database while there is nothing to do."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.slow

SECONDS = 10

COUNTING = """
import os
from django.db.backends.signals import connection_created
counted = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def count(execute, sql, params, many, context):
    os.write(counted, b".")
    return execute(sql, params, many, context)
def watch(connection, **_):
    if count not in connection.execute_wrappers:
        connection.execute_wrappers.append(count)
connection_created.connect(watch, weak=False)
"""


def test_an_idle_cluster_asks_the_database_less_than_twice_a_second(clusters, tmp_path):
    counted = tmp_path / "counted"
    clusters(workers=2, prelude=COUNTING.format(path=str(counted)))
    time.sleep(2)  # what starting up cost
    before = counted.stat().st_size
    time.sleep(SECONDS)  # idleness is what is measured
    statements = counted.stat().st_size - before
    print(f"{statements / SECONDS:.1f} statements a second, each a transaction of its own")
    assert 0.5 < statements / SECONDS < 2
