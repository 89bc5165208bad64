"""Collections in Django's admin, to be looked at."""

from __future__ import annotations

from django.contrib import admin

from bulkops.admin import ReadOnlyAdmin
from bulkops.contrib.vectors import pgvector
from bulkops.contrib.vectors.models import Collection


@admin.register(Collection)
class CollectionAdmin(ReadOnlyAdmin):
    """Who has which vectors, and how many."""

    list_display = ("name", "owner", "dimension", "metric", "count", "created_at")
    list_filter = ("metric",)
    list_select_related = ("owner",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = readonly_fields = (*list_display, "indexed")

    @admin.display(description="vectors")
    def count(self, collection: Collection) -> str:
        """How many vectors it has."""
        return f"{collection.vectors.count():,}"

    @admin.display(description="has an index", boolean=True)
    def indexed(self, collection: Collection) -> bool | None:
        """Whether searches use an index."""
        return pgvector.has_index(collection)
