"""The migrations say what the models say, and the tables are laid out for what every item does to them."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from bulkops import services
from bulkops.models import Chunk


@pytest.mark.django_db
def test_no_model_has_changed_without_its_migration():
    call_command("makemigrations", "bulkops", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_an_items_update_of_its_chunk_stays_in_place(owner):
    """A HOT update leaves the row's version on its page and no index is touched: what keeps the rate up."""
    services.submit(user=owner, operation="note", items=[str(n) for n in range(5000)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # what was done before, so that it is not counted below
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_reset_single_table_counters('bulkops_chunk'::regclass)")
        for _ in range(10):
            # While anybody on the server has a transaction open, an update leaves old versions where they are, and the
            # page would be full before long. This looks at those of this database only.
            cursor.execute("VACUUM bulkops_chunk")
            for _ in range(10):
                cursor.execute(
                    "UPDATE bulkops_chunk SET cursor = cursor + 1, succeeded = succeeded + 1 WHERE number < 5"
                )
        cursor.execute("SELECT pg_stat_force_next_flush()")
    with connection.cursor() as cursor:
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'bulkops_chunk'")
        updated, in_place = cursor.fetchone()
    assert updated == 500
    assert in_place >= 495
    assert Chunk.objects.filter(cursor=100).count() == 5


@pytest.mark.django_db
def test_compressed_payloads_are_not_compressed_again():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'bulkops_manifest'::regclass AND attname = 'payload'"
        )
        assert cursor.fetchone() == ("e",)
