"""What sample operations write: rows without any uniqueness, so that a doubled effect shows."""

from django.db import models


class Effect(models.Model):
    """One effect of one item."""

    item = models.CharField(max_length=200, db_index=True)
    note = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return self.item


class Account(models.Model):
    """A row that items change."""

    number = models.PositiveIntegerField(unique=True)
    balance = models.IntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)


class Receipt(models.Model):
    """A row of the project that must not lose its job."""

    # No constraint: this app has no migrations, so its tables are made before bulkops'.
    job = models.ForeignKey("bulkops.Job", on_delete=models.PROTECT, related_name="+", db_constraint=False)

    def __str__(self) -> str:
        return str(self.job_id)


class Bookmark(models.Model):
    """A row of the project that does without its job."""

    job = models.ForeignKey("bulkops.Job", on_delete=models.SET_NULL, null=True, related_name="+", db_constraint=False)

    def __str__(self) -> str:
        return str(self.job_id)
