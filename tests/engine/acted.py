"""Operations that stand still at every step, and a ledger of what they did; for plays of the protocol."""

from __future__ import annotations

from typing import Any

from django import forms

from bulkops import InDoubt, Operation
from tests.engine.promises import Had, Ledger
from tests.engine.stage import stand_still
from tests.sample.models import Effect

BECOMES = {
    "good": "succeeded",
    "fails": "failed",
    "skips": "skipped",
    "comes-round": "succeeded",
    "never-comes-round": "failed",
    "doubts": "in_doubt",
}

DELETE = "; ".join(
    f"DELETE FROM {table}"
    for table in (
        "bulkops_event",
        "bulkops_outcome",
        "bulkops_failuregroup",
        "bulkops_manifest",
        "bulkops_chunk",
        "bulkops_turn",
        "bulkops_idempotencykey",
        "bulkops_job",
        "bulkops_cluster",
        "django_q_ormq",
        "sample_effect",
    )
)

ledger = Ledger()


class Refused(Exception):
    """Not now; nothing was done."""


class Stepwise(Operation):
    """Its effects commit with the progress. An item is the name of what it does."""

    name = "stepwise"
    parallelism = 2
    retry_on = (Refused,)
    backoff = (100.0, 100.0)
    max_crashes = 2

    class Params(forms.Form):
        tag = forms.CharField()
        collected = forms.CharField(required=False)
        ending = forms.CharField(required=False)

    def items(self, params: dict[str, Any]) -> Any:
        for item in filter(None, params["collected"].split(",")):
            stand_still()
            if item == "broken":
                raise ValueError("the source is gone")
            yield item

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        stand_still()
        self.have_effect(item, context)
        stand_still()
        if item == "fails":
            raise ValueError("card expired")
        if item == "skips":
            context.skip("not today")
        if item == "never-comes-round" or (item == "comes-round" and context.attempt < 3):
            raise Refused
        if item == "doubts":
            raise InDoubt("the answer was cut off")
        return item

    def have_effect(self, item: Any, context: Any) -> None:
        Effect.objects.create(item=context.key, note=f"{context.job_id}:{context.position}")

    def finish(self, params: dict[str, Any], summary: dict[str, int]) -> None:
        Effect.objects.create(item="finished", note=params["tag"])
        if params["ending"] == "broken":
            raise ValueError("cannot finish")


class StepwiseOutside(Stepwise):
    """Its effects are had elsewhere; what is refused has none."""

    name = "stepwise-outside"
    transactional = False

    def have_effect(self, item: Any, context: Any) -> None:
        if item in {"good", "doubts"} or (item == "comes-round" and context.attempt == 3):
            ledger.had.append(Had(key=context.key, job=str(context.job_id), position=context.position))


class StepwiseHolding(StepwiseOutside):
    """The same, and never repeated by itself."""

    name = "stepwise-holding"
    in_doubt = "hold"


OPERATIONS = (Stepwise, StepwiseOutside, StepwiseHolding)
