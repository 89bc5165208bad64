"""Running totals that several processes add to: rows of what was counted, which nobody ever waits for.

To count is to insert a row, in the transaction in which it happened where that matters. So no two writers meet in one
row, there is no lock to be ordered, and a transaction may run an author's code after it has counted. From time to time
rows of the same kind are folded into one, in a statement that a reader sees wholly or not at all: totals never go back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

if TYPE_CHECKING:
    from bulkops.histograms import Histogram

FOLD_FROM = 500
"""Rows below which folding is not worth it; a reader adds up so many in a millisecond."""
FOLD_AT_ONCE = 20_000


class Tally(models.Model):
    """Something that was counted: an addend of the total of its name and labels, place by place."""

    name = models.CharField(max_length=40)
    labels = ArrayField(models.CharField(max_length=200))
    counts = ArrayField(models.BigIntegerField(), help_text="Of a histogram: by class of duration.")
    microseconds = models.BigIntegerField(default=0, db_default=0, help_text="Of a histogram: all durations together.")

    class Meta:
        app_label = "bulkops"

    def __str__(self) -> str:
        return f"{self.name} of {', '.join(self.labels)}: {sum(self.counts)}"


@dataclass(frozen=True)
class Count:
    """What is added, or the total."""

    name: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    microseconds: int = 0

    @classmethod
    def of(cls, name: str, labels: tuple[str, ...], measured: Histogram) -> Count:
        """As the histogram has it now."""
        return cls(name, labels, tuple(measured.counts), measured.microseconds)


# Adds up arrays place by place, which the ORM has no words for. An older, shorter array counts as far as it goes.
_ADDED_UP = """
    SELECT name, labels, array_agg(n ORDER BY place) AS counts, min(microseconds) AS microseconds
    FROM (
        SELECT name, labels, place, sum(n)::bigint AS n, sum(sum(microseconds) FILTER (WHERE place = 1))
            OVER (PARTITION BY name, labels)::bigint AS microseconds
        FROM {rows}, unnest(counts) WITH ORDINALITY AS one (n, place)
        GROUP BY name, labels, place
    ) places
    GROUP BY name, labels
"""
TOTALS = _ADDED_UP.format(rows="bulkops_tally")
"""A query, to stand in another one: name, labels, counts and microseconds of each total."""

# Two at once take different rows, and neither waits.
_FOLD = f"""
WITH taken AS MATERIALIZED (
    SELECT id FROM bulkops_tally ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM bulkops_tally WHERE id IN (SELECT id FROM taken) RETURNING name, labels, counts, microseconds
)
INSERT INTO bulkops_tally (name, labels, counts, microseconds) {_ADDED_UP.format(rows="gone")}
"""  # noqa: S608 - made of constants


def add(*counted: Count) -> None:
    """Count, in the caller's transaction if there is one; one statement, or none where nothing is given."""
    if counted:
        Tally.objects.bulk_create(
            Tally(name=one.name, labels=list(one.labels), counts=list(one.counts), microseconds=one.microseconds)
            for one in counted
        )


def fold(least: int = FOLD_FROM) -> bool:
    """Fold rows of one kind into one, where there are at least so many in all; say so. Commits by itself."""
    if Tally.objects.count() < least:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, [FOLD_AT_ONCE])
    return True
