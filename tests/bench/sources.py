"""A table that the measurements make and drop, as a project's own might be read."""

from __future__ import annotations

from django.db import models


class Source(models.Model):
    """A row that has nothing but its key."""

    id = models.IntegerField(primary_key=True)

    class Meta:
        app_label = "bench"
        db_table = "bench_source"
        managed = False

    def __str__(self) -> str:
        return str(self.pk)
