"""Operations whose items have fields, or none."""

from __future__ import annotations

from typing import Any

from django import forms

from bulkops.operation import Operation


class Plain(Operation):
    name = "plain"

    def process(self, item: Any, params: Any, context: Any) -> None: ...


class Seating(Plain):
    """Two fields that are needed, and one that is not."""

    class Item(forms.Form):
        ticket = forms.CharField(label="Ticket number")
        seat_row = forms.CharField()
        note = forms.CharField(required=False, label="Größe")
