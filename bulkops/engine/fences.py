"""Whether what workers have in hand is still theirs; asked by their leader, for calls that take long."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.db.models import Q, Value

from bulkops import registry
from bulkops.engine.hand import Doing
from bulkops.exceptions import UnknownOperation
from bulkops.models import Chunk, Job, Turn
from bulkops.states import ENDED, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkops.engine.hand import InHand

_OF_TURNS = {Doing.ITEMS, Doing.FINISH}
DONE = {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS}
OF_A_TURN = -1
"""In place of an epoch."""


def lost(cluster_id: int, hands: Mapping[int, InHand]) -> set[int]:
    """The numbers of those workers whose work was taken away, by force or by another leader, and is good for nothing.

    An item is theirs while the chunk has the epoch of their claim, anything else while they hold a turn of the job. One
    query, and another where there are any.
    """
    gone = _taken_away(cluster_id, hands)
    return {number for number in gone if not _may_count(hands[number])}


def _may_count(hand: InHand) -> bool:
    """Whether the call's result is wanted all the same: one from outside the database may settle a doubt.

    Not where the job was stopped: that is what force is for.
    """
    job = Job.objects.filter(pk=hand.job_id).first()
    if job is None or hand.doing is not Doing.ITEM or job.state in {JobState.PAUSED, *ENDED} - DONE:
        return False
    try:
        return not registry.get(job.operation).transactional
    except UnknownOperation:
        return False


def _taken_away(cluster_id: int, hands: Mapping[int, InHand]) -> set[int]:
    items = {number: hand for number, hand in hands.items() if hand.doing is Doing.ITEM}
    others = {number: hand for number, hand in hands.items() if hand.doing in _OF_TURNS}
    if not items and not others:
        return set()
    same_epoch = (Q(pk=hand.chunk_id, epoch=hand.epoch) for hand in items.values())
    own_turn = (Q(holder=cluster_id, worker=number, job=hand.job_id) for number, hand in others.items())
    chunks = Chunk.objects.filter(reduce(or_, same_epoch, Q(pk=None))).values_list("pk", "epoch")
    turns = Turn.objects.filter(reduce(or_, own_turn, Q(pk=None))).values_list("worker", Value(OF_A_TURN))
    theirs = set(chunks.union(turns))
    return {number for number, hand in items.items() if (hand.chunk_id, hand.epoch) not in theirs} | {
        number for number in others if (number, OF_A_TURN) not in theirs
    }
