"""Pages for people who write programs: what a problem means, and their API tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bulkops import tokens
from bulkops.api.problems import KINDS
from bulkops.tokens import ApiToken

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class TokenForm(forms.Form):
    """A new token."""

    name = forms.CharField(
        max_length=tokens.NAME_CHARS, label=_("Name"), help_text=_("What it is for, such as “import from the shop”.")
    )


@require_safe
def problem_list(request: HttpRequest) -> HttpResponse:
    """All types of problems."""
    return render(request, "bulkops/api/problems.html", {"kinds": KINDS.values()})


@require_safe
def problem(request: HttpRequest, name: str) -> HttpResponse:
    """One of them."""
    if name not in KINDS:
        raise Http404("There is no such problem.")
    return render(request, "bulkops/api/problem.html", {"kind": KINDS[name]})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def token_list(request: HttpRequest) -> HttpResponse:
    """One's tokens, and the making of one, whose text is shown this once."""
    form = TokenForm(request.POST if request.method == "POST" else None)
    text, status = "", 200
    if request.method == "POST":
        if form.is_valid():
            _, text = tokens.make(user=request.user, name=form.cleaned_data["name"])
            form = TokenForm()
        else:
            status = 422
    mine = ApiToken.objects.filter(user=request.user.pk)
    return render(request, "bulkops/api/tokens.html", {"tokens": mine, "form": form, "text": text}, status=status)


@require_POST
@login_required
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """A token that is revoked is gone at once; pressing twice changes nothing."""
    ApiToken.objects.filter(user=request.user.pk, pk=min(pk, 2**63 - 1)).delete()
    return redirect("bulkops-tokens:tokens")
