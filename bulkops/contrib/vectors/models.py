"""Collections of vectors. A collection's dimension and metric are fixed when it is made."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

ENGINES = ("numpy", "pgvector")
"""What may search a collection."""


class Metric(models.TextChoices):
    """How far two vectors are from each other; smaller is nearer."""

    COSINE = "cosine", "cosine"
    """1 minus the cosine of the angle between them, 0 to 2."""
    INNER_PRODUCT = "inner_product", "inner product"
    """Their inner product, negated."""
    EUCLIDEAN = "euclidean", "euclidean"


class RealField(models.FloatField):
    """A number of four bytes."""

    def db_type(self, connection: object) -> str:  # noqa: ARG002 - there is one database
        """PostgreSQL's float32."""
        return "real"


class Collection(models.Model):
    """Vectors that can be compared with one another. Its owner's jobs, and nobody else's, write into it."""

    name = models.CharField(max_length=100, unique=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    dimension = models.PositiveIntegerField()
    metric = models.CharField(max_length=20, choices=Metric.choices)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class Vector(models.Model):
    """One vector under its id; in a cosine collection it has length 1."""

    pk = models.CompositePrimaryKey("collection_id", "key")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="vectors", db_index=False)
    key = models.CharField(max_length=255)
    embedding = ArrayField(RealField())
    metadata = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.key} of {self.collection_id}"
