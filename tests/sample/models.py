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
