"""What the schema says of every call: its refusals, and parameters that stand in an address or a header."""

from __future__ import annotations

from typing import Any

from django.utils.text import slugify
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from bulkops.api import problems, shapes

ALWAYS = ("not-authenticated", "not-acceptable", "rate-limited", "internal-error", "database-away")
WITH_BODY = ("malformed", "csrf-failed", "length-required", "too-large", "unsupported-media-type", "validation")
KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    pattern="^[!-~]{1,255}$",
    description="One of your own making, such as a UUID; kept for 24 hours. The same key and body make one job.",
)


def parameter(name: str, kind: Any = OpenApiTypes.STR, words: str = "", **more: Any) -> OpenApiParameter:
    """One of the address."""
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=words, **more)


def call(summary: str, answers: dict[Any, Any], *refusals: str, body: bool = False, **more: Any) -> Any:
    """Describe a method of a view."""
    names = [*ALWAYS, *(WITH_BODY if body else ()), *refusals]
    by_status: dict[int, list[str]] = {}
    for name in names:
        by_status.setdefault(problems.KINDS[name].status, []).append(name)
    told: dict[Any, Any] = dict(answers)
    for status, found in sorted(by_status.items()):
        told[status, problems.CONTENT_TYPE] = OpenApiResponse(shapes.ProblemShape, ", ".join(dict.fromkeys(found)))
    name = slugify(summary).replace("-", "_")
    decorate = extend_schema(operation_id=name, summary=summary, responses=told, **({"request": None} | more))

    def describe(method: Any) -> Any:
        method.schema = AutoSchema  # or it would be what the host's REST_FRAMEWORK names
        return decorate(method)

    return describe
