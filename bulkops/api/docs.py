"""The schema (OpenAPI), and two pages that show it, without a network and under the content security policy."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.settings import patched_settings
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from bulkops.api.base import Anybody, ApiView, Refusing

if TYPE_CHECKING:
    from rest_framework.request import Request

LOOSER = {"style-src": [SELF, UNSAFE_INLINE]}
"""ReDoc styles itself while it runs."""
SETTINGS = {
    "TITLE": "bulkops",
    "DESCRIPTION": "Run a long loop over many items as a job: one job per user, nothing lost.",
    "VERSION": "1",
    "PREPROCESSING_HOOKS": ["bulkops.api.docs.ours"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "bulkops.api.links.add"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}


def ours(endpoints: list[Any], **_: Any) -> list[Any]:
    """The calls of this API, and not those of the host's own."""
    return [one for one in endpoints if one[3].cls.__module__.startswith("bulkops.api.")]


class _Scheme(OpenApiAuthenticationExtension):
    """How one of the three ways to log in is described."""

    definition: ClassVar[dict[str, str]] = {}

    def get_security_definition(self, auto_schema: Any) -> Any:  # noqa: ARG002 - the base's signature
        return self.definition


class TokenScheme(_Scheme):
    target_class = "bulkops.api.authentication.TokenAuthentication"
    name = "token"
    definition: ClassVar[dict[str, str]] = {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "“Token …”; make one on the page of your tokens.",
    }


class PasswordScheme(_Scheme):
    target_class = "bulkops.api.authentication.PasswordAuthentication"
    name = "password"
    definition: ClassVar[dict[str, str]] = {"type": "http", "scheme": "basic"}


class CookieScheme(_Scheme):
    target_class = "bulkops.api.authentication.CookieAuthentication"
    name = "session"
    definition: ClassVar[dict[str, str]] = {"type": "apiKey", "in": "cookie", "name": "sessionid"}


_making = Lock()


def document() -> dict[str, Any]:
    """The schema, the same for everybody; made once, since it takes a while and any passer-by may ask for it."""
    with _making:  # drf-spectacular's settings are changed for all threads meanwhile
        return _made()


@cache
def _made() -> dict[str, Any]:
    with patched_settings(SETTINGS):
        return SchemaGenerator().get_schema(request=None, public=True)


class Schema(ApiView):
    """The schema, for everybody."""

    permission_classes: Any = (Anybody,)
    renderer_classes: Any = (OpenApiYamlRenderer, OpenApiJsonRenderer, JSONRenderer)
    schema: Any = None

    def get(self, _request: Request, **_: Any) -> Response:
        """As YAML, or as JSON for who accepts that."""
        return Response(document())


class Swagger(Refusing, SpectacularSwaggerSplitView):
    """The schema to try out."""

    url_name = "bulkops-api:schema"
    title = "bulkops"
    template_name = "bulkops/api/swagger.html"
    authentication_classes: Any = ()
    permission_classes: Any = (Anybody,)
    throttle_classes: Any = ()
    schema: Any = None


@method_decorator(csp_update(LOOSER), name="dispatch")
class Redoc(Refusing, SpectacularRedocView):
    """The schema to read."""

    url_name = "bulkops-api:schema"
    title = "bulkops"
    template_name = "bulkops/api/redoc.html"
    authentication_classes: Any = ()
    permission_classes: Any = (Anybody,)
    throttle_classes: Any = ()
    schema: Any = None
