"""Operations: what I may run, and what each wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from rest_framework.response import Response

from bulkops import permissions, registry
from bulkops.api import forms_schema, shapes
from bulkops.api.base import ApiView
from bulkops.api.described import call
from bulkops.api.problems import Problem
from bulkops.exceptions import UnknownOperation

if TYPE_CHECKING:
    from rest_framework.request import Request

    from bulkops.operation import Operation


def described(request: Request, operation: Operation) -> dict[str, Any]:
    """An operation as JSON types."""
    address = reverse("bulkops-api:operation", args=[operation.name])
    return {
        "name": operation.name,
        "url": request.build_absolute_uri(address),
        "title": operation.title,
        "description": operation.description,
        "collects_items": operation.collects,
        "takes_files": operation.takes_files,
        "parallelism": operation.parallelism,
        "rate_per_second": operation.rate_per_second,
        "params": forms_schema.params_schema(operation.Params, operation.secret),
        "item": forms_schema.item_schema(operation.Item),
    }


class Operations(ApiView):
    """All of them."""

    @call("List operations", {200: shapes.OperationPage})
    def get(self, request: Request) -> Response:
        """Those that I may run, by name."""
        mine = [one for one in registry.every() if permissions.may_submit(request.user, one)]
        results = [described(request, one) for one in mine]
        return Response({"count": len(results), "next": None, "previous": None, "results": results})


class OneOperation(ApiView):
    """One of them."""

    @call("Look at an operation", {200: shapes.OperationShape}, "not-found")
    def get(self, request: Request, name: str) -> Response:
        """With the JSON Schema of its parameters and items."""
        try:
            operation = registry.get(name)
        except UnknownOperation as unknown:
            raise Problem("not-found", unknown.message) from None
        if not permissions.may_submit(request.user, operation):
            raise Problem("not-found", UnknownOperation(name).message)
        return Response(described(request, operation))
