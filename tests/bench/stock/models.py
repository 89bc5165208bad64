"""What a task saves."""

from django.db import models


class Progress(models.Model):
    """How far a loop is: what a project without bulkops would keep."""

    done = models.IntegerField(default=0)
    process = models.IntegerField(null=True)

    class Meta:
        app_label = "stock"

    def __str__(self) -> str:
        return f"{self.done} done"
