"""`index-vectors`: stores vectors in a collection, each with its progress or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.validators import RegexValidator

from bulkops.contrib.vectors import directory, embedding, storing
from bulkops.contrib.vectors.models import Collection, Metric
from bulkops.exceptions import InvalidParams, NotPermitted
from bulkops.models import Job
from bulkops.operation import Context, Operation
from bulkops.registry import register
from bulkops.storable import has_nul, strict_json

if TYPE_CHECKING:
    from uuid import UUID

ATTEMPTS = 3
"""At a collection that is deleted and made again while its vectors are stored."""


class IdField(forms.CharField):
    """A text, or a whole number, which is its text."""

    def to_python(self, value: Any) -> str | None:
        """Refuses what has a text without being one."""
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise forms.ValidationError("An id is a text or a whole number.")
        return super().to_python(value)


class VectorField(forms.Field):
    """Whatever was given: what is wrong with one vector fails one item, and not the whole input."""

    empty_values: ClassVar[list[Any]] = [None, ""]  # type: ignore[misc]
    widget = forms.Textarea


class MetadataField(forms.Field):
    """An object, or its JSON text; none is an empty one."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> dict[str, Any]:
        """The object."""
        if value in self.empty_values:
            return {}
        try:
            found = json.loads(value) if isinstance(value, str) else value
            text = strict_json(found)
        except (TypeError, ValueError, RecursionError):
            raise forms.ValidationError("Metadata must be a JSON object.") from None
        if not isinstance(found, dict) or has_nul(text):
            raise forms.ValidationError("Metadata must be a JSON object, without a NUL.")
        return found


@register
class IndexVectors(Operation):
    """Store vectors with metadata in a collection, to be searched for nearest neighbours."""

    name = "index-vectors"
    permission = "bulkops_vectors.add_vector"
    parallelism = 4

    class Params(forms.Form):
        collection = forms.CharField(
            max_length=100,
            validators=[
                RegexValidator(
                    rf"\A{directory.NAME.pattern}\Z", "Letters, digits, dots, hyphens and underscores, at most 100."
                )
            ],
        )
        dimension = forms.IntegerField(
            required=False,
            min_value=1,
            max_value=embedding.MOST_DIMENSIONS,
            help_text="Numbers of a vector. Empty: the collection's, or those of the first vector of a new one.",
        )
        metric = forms.ChoiceField(
            required=False,
            choices=[("", "the collection's; cosine for a new one"), *Metric.choices],
            help_text="How vectors are compared; fixed once the collection is made.",
        )
        existing = forms.ChoiceField(
            choices=[("replace", "replace it"), ("skip", "skip the new one")],
            initial="replace",
            help_text="What becomes of a vector whose id is there already.",
        )

    class Item(forms.Form):
        id = IdField(max_length=255)
        vector = VectorField(help_text="[0.1, 0.2] or 0.1 0.2")
        metadata = MetadataField(required=False, help_text="a JSON object")

    def __init__(self) -> None:
        self._known: tuple[UUID, Collection] | None = None
        """The collection of the job in hand: looking it up again would double an item's round trips."""

    def authorize(self, user: Any, params: dict[str, Any]) -> None:
        """Nobody writes into somebody else's collection, nor against what a collection is."""
        found = directory.find(params["collection"])
        if found is None:
            return
        if not directory.may_write(user, found):
            raise NotPermitted(f"The collection “{found.name}” belongs to somebody else.")
        if contradiction := _wanted(params).contradiction(found):
            raise InvalidParams({"dimension" if "dimension" in contradiction else "metric": [contradiction]})

    def process(self, item: Any, params: dict[str, Any], context: Context) -> Any:
        """One statement once the collection is known."""
        vector = embedding.read(item["vector"])
        for _ in range(ATTEMPTS):
            collection = self._collection(params, context, vector)
            row = embedding.storable(vector, collection.metric, collection.dimension)
            if collection.pk is None:
                return None  # a dry run, which makes none
            done = storing.store(collection, item["id"], row, item["metadata"], replace=params["existing"] == "replace")
            if done == "exists":
                context.skip("this id is in the collection already")
            if done is not None:
                return {"replaced": True} if done == "replaced" else None
            self._known = None
        raise NotPermitted(f"The collection “{params['collection']}” is being deleted.")

    def finish(self, params: dict[str, Any], summary: dict[str, int]) -> dict[str, Any]:
        """What the job did to its collection."""
        found = directory.find(params["collection"])
        return {
            "collection": params["collection"],
            "processed": summary["total"],
            "indexed": summary["succeeded"],
            "skipped": summary["skipped"],
            "failed": summary["failed"],
            "dimension": None if found is None else found.dimension,
        }

    def _collection(self, params: dict[str, Any], context: Context, vector: Any) -> Collection:
        """The job's collection; the first good vector makes it, if there is a job. Raises NotPermitted, BadVector."""
        known = self._known
        if known is not None and known[0] == context.job_id:
            return known[1]
        wanted = _wanted(params)
        job = Job.objects.select_related("owner").filter(pk=context.job_id).first()
        found = directory.find(wanted.name)
        if found is None:
            dimension, metric = wanted.dimension or len(vector), wanted.metric or Metric.COSINE.value
            # A bad vector makes no collection; the failing item rolls back, but others wait for it meanwhile.
            embedding.storable(vector, metric, dimension)
            if job is None:
                found = Collection(name=wanted.name, dimension=dimension, metric=metric)
            else:
                found = directory.make(wanted.name, job.owner_id, dimension, metric)
        # Somebody else may have made it since the slice began.
        if job is not None and not directory.may_write(job.owner, found):
            raise NotPermitted(f"The collection “{found.name}” belongs to somebody else.")
        if contradiction := wanted.contradiction(found):
            raise embedding.BadVector(contradiction)
        self._known = (context.job_id, found)
        return found


def _wanted(params: dict[str, Any]) -> directory.Wanted:
    return directory.Wanted(params["collection"], params["dimension"], params["metric"] or None)
