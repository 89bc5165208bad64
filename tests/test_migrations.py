"""The migrations say what the models say, and the tables are laid out for what every item does to them."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from bulkops import services
from bulkops.models import Chunk
from tests.clusters import wait_for


@pytest.mark.django_db
def test_no_model_has_changed_without_its_migration():
    call_command("makemigrations", "bulkops", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_an_items_update_of_its_chunk_stays_in_place(owner):
    """A HOT update leaves the row's version on its page and no index is touched: what keeps the rate up."""
    services.submit(user=owner, operation="note", items=[str(n) for n in range(5000)])

    def mostly_in_place() -> bool:
        updated, in_place = update_often()
        assert updated == 500
        return in_place >= 495

    # While anybody on the server has a transaction open, old versions stay, and a page can be full for that long.
    wait_for(mostly_in_place, 20, "updates in place")
    assert Chunk.objects.filter(cursor=100).count() == 5


def update_often() -> tuple[int, int]:
    """Update five chunks a hundred times each: how many updates that were, and how many of them in place."""
    Chunk.objects.update(cursor=0, succeeded=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # the update above, before counting begins
        cursor.execute("SELECT pg_stat_reset_single_table_counters('bulkops_chunk'::regclass)")
        for _ in range(100):
            cursor.execute("UPDATE bulkops_chunk SET cursor = cursor + 1, succeeded = succeeded + 1 WHERE number < 5")
        cursor.execute("SELECT pg_stat_force_next_flush()")
    with connection.cursor() as cursor:
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'bulkops_chunk'")
        return cursor.fetchone()


@pytest.mark.django_db
def test_compressed_payloads_are_not_compressed_again():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'bulkops_manifest'::regclass AND attname = 'payload'"
        )
        assert cursor.fetchone() == ("e",)
