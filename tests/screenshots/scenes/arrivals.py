"""Coming in, and what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.views.csrf import csrf_failure

from bulkops.states import JobState
from tests.screenshots.scenes.listing import press, scene

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.screenshots.stage import Stage


@scene("log-in", who="")
def _(stage: Stage) -> str:
    return "/accounts/login/"


def _wrong_password(page: Page, stage: Stage) -> None:
    page.get_by_label("Username").fill("maria.keller")
    page.get_by_label("Password").fill("wrong")
    press("Log in")(page, stage)


@scene("log-in-refused", who="", act=_wrong_password)
def _(stage: Stage) -> str:
    return "/accounts/login/"


@scene("not-found", status=404)
def _(stage: Stage) -> str:
    return "/no/such/page/"


@scene("not-permitted", status=403)
def _(stage: Stage) -> str:
    stage.owner.user_permissions.clear()
    return "/operations/reprice-tickets/"


@scene("broken", status=500)
def _(stage: Stage) -> str:
    stage.patch("bulkops.web.fetch.newest_jobs", side_effect=RuntimeError("on purpose"))
    return "/"


@scene("form-too-old", status=403, who="")
def _(stage: Stage) -> str:
    stage.patch("django.contrib.auth.views.LoginView.dispatch", new=_csrf_failure)
    return "/accounts/login/"


def _csrf_failure(_view: Any, request: Any, *_: Any, **__: Any) -> Any:
    return csrf_failure(request)


@scene("button-opened", status=405)
def _(stage: Stage) -> str:
    return f"{stage.job(JobState.RUNNING).get_absolute_url()}cancel/"


@scene("database-away", status=503)
def _(stage: Stage) -> str:
    stage.database_away()
    return "/"
