"""What stands before every view: a log-in that htmx understands, and words for a database that is away."""

from __future__ import annotations

from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import Error
from django.shortcuts import render, resolve_url
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect, reswap
from django_htmx.middleware import HtmxDetails

from bulkops.outage import is_away

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    View = Callable[..., HttpResponseBase]


def person_required(view: View) -> View:
    """Only people who are logged in; others are sent to the log-in page and come back.

    htmx follows a redirect and would put the log-in page into a card, so it is told to take the whole tab there.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if not is_htmx(request):
            return redirect_to_login(_page_of(request))
        return HttpResponseClientRedirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': _tab_of(request)})}")

    return guarded


def post_required(view: View) -> View:
    """Only presses of a button. Who opens its address, as with Enter after a refusal, is told so and led back."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST":
            return view(request, *args, **kwargs)
        response = render(request, "bulkops/button.html", {"pk": kwargs["pk"]}, status=HTTPStatus.METHOD_NOT_ALLOWED)
        response["Allow"] = "POST"
        return response

    return guarded


def _page_of(request: HttpRequest) -> str:
    """Where to come back to: a button's own address cannot be opened, the page it was pressed on can."""
    if request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    try:
        came_from = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # no address at all, such as http://[
        return "/"
    return came_from.path if came_from.netloc == request.get_host() and came_from.path else "/"


def _tab_of(request: HttpRequest) -> str:
    """The page that is open in the tab whose fragment htmx asked for."""
    try:
        return HtmxDetails(request).current_url_abs_path or "/"
    except ValueError:  # as above
        return "/"


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx asks; known without its middleware, which a host project may lack."""
    return bool(HtmxDetails(request))


def database_may_be_away(view: View) -> View:
    """A page that cannot reach the database says so, with status 503, instead of breaking."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except Error as error:
            if not is_away(error):
                raise
            return database_away(request)

    return guarded


def form_stays(view: View) -> View:
    """A form that htmx sent while the database is away stays as it is, with words at its buttons; else as the view.

    Its page is 503, which htmx does not swap (see base.html), and would take away what was entered.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if response.status_code != HTTPStatus.SERVICE_UNAVAILABLE or not is_htmx(request) or request.method != "POST":
            return response
        words = render(request, "bulkops/_unanswered.html", status=HTTPStatus.UNPROCESSABLE_ENTITY)
        return reswap(words, "none")

    return guarded


def database_away(request: HttpRequest) -> HttpResponse:
    """The page that says so and loads itself again; asks neither session nor user, which lie in the same database."""
    return render(request, "bulkops/database_away.html", status=503)
