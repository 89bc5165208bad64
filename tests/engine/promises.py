"""What must be true of all jobs at every moment, stated over one snapshot of the tables and what has happened outside.

`Ledger` is the world outside the database: it keeps every effect that was had there, also those that nobody recorded.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from bulkops.states import ACTIVE, ENDED, TRANSITIONS, JobState
from bulkops.verify import verify

_SNAPSHOT = """
SELECT json_build_object(
    'jobs', (SELECT json_agg(to_json(j) ORDER BY id) FROM bulkops_job j),
    'turns', (SELECT json_agg(to_json(t) ORDER BY id) FROM bulkops_turn t),
    'chunks', (SELECT json_agg(to_json(c) ORDER BY id) FROM bulkops_chunk c),
    'outcomes', (SELECT json_agg(to_json(o) ORDER BY job_id, position) FROM bulkops_outcome o),
    'events', (SELECT json_agg(to_json(e) ORDER BY id) FROM bulkops_event e),
    'effects', (SELECT json_agg(to_json(f) ORDER BY id) FROM sample_effect f),
    'messages', (SELECT count(*) FROM django_q_ormq))
"""
FINISHED = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS})
AT_REST = FINISHED | {JobState.CANCELLED}
"""A failed job's other workers end the item in hand."""
SETTLED = frozenset({"succeeded", "skipped", "failed"})


@dataclass(frozen=True)
class Had:
    """An effect outside the database."""

    key: str
    job: str
    position: int


@dataclass
class Ledger:
    """What was done outside, and how often a person allowed it for a key."""

    had: list[Had] = field(default_factory=list)

    def by_key(self) -> Counter[str]:
        """How often for each key."""
        return Counter(one.key for one in self.had)

    def by_place(self) -> Counter[tuple[str, int]]:
        """How often for each item of each job."""
        return Counter((one.job, one.position) for one in self.had)


class Snapshot:
    """All rows, in one statement."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_SNAPSHOT)
            rows = cursor.fetchone()[0]
        self.jobs: dict[str, Any] = {row["id"]: row for row in rows["jobs"] or ()}
        self.turns: list[Any] = rows["turns"] or []
        self.chunks: dict[int, Any] = {row["id"]: row for row in rows["chunks"] or ()}
        self.outcomes: dict[tuple[str, int], Any] = {
            (row["job_id"], row["position"]): row for row in rows["outcomes"] or ()
        }
        self.events: list[Any] = rows["events"] or []
        self.effects: list[Any] = rows["effects"] or []
        self.messages: int = rows["messages"]

    @property
    def active(self) -> list[Any]:
        """Jobs that hold a slot."""
        return [job for job in self.jobs.values() if job["state"] in ACTIVE]

    def is_held(self) -> bool:
        """Whether anybody holds anything."""
        return any(row["holder_id"] for row in (*self.turns, *self.chunks.values()))


class Promises:
    """Checked after each step; remembers the last snapshot, for what may only grow."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.before: Snapshot | None = None
        self._verified: dict[str, Any] = {}

    def check(self) -> Snapshot:
        """Raises AssertionError for the first promise that is broken."""
        now = Snapshot()
        self._jobs_are_one_to_a_user(now)
        self._moves_are_allowed(now)
        self._work_is_held_once(now)
        self._effects_are_had_once(now)
        self._effects_outside_are_known(now)
        self._effects_are_not_hidden(now)
        self._nothing_is_undone(now)
        self._rows_agree(now)
        self.before = now
        return now

    def _jobs_are_one_to_a_user(self, now: Snapshot) -> None:
        owners = Counter(job["owner_id"] for job in now.active)
        assert all(count == 1 for count in owners.values()), f"active jobs by user: {owners}"

    def _moves_are_allowed(self, now: Snapshot) -> None:
        at: dict[str, str] = {}
        for event in now.events:
            job = event["job_id"]
            if event["kind"] == "submitted":
                assert job not in at
                at[job] = event["to_state"]
            elif event["kind"] == "state_changed":
                assert at[job] == event["from_state"], f"{job} was {at[job]}, and moves from {event['from_state']}"
                assert (JobState(event["from_state"]), JobState(event["to_state"])) in TRANSITIONS
                at[job] = event["to_state"]
        assert at == {pk: job["state"] for pk, job in now.jobs.items()}

    def _work_is_held_once(self, now: Snapshot) -> None:
        turns: dict[str, Counter[Any]] = defaultdict(Counter)
        for turn in now.turns:
            if turn["holder_id"]:
                turns[turn["job_id"]][turn["holder_id"], turn["worker"]] += 1
                assert turn["message_id"] is None
        for pk, job in now.jobs.items():
            held = [row for row in now.chunks.values() if row["job_id"] == pk and row["holder_id"]]
            holders = Counter((row["holder_id"], row["worker"]) for row in held)
            if job["state"] in ACTIVE:
                assert turns[pk].total() <= job["parallelism"]
                assert not holders - turns[pk], f"chunks held without a turn: {holders - turns[pk]}"
            elif job["state"] != JobState.FAILED:
                assert not holders, f"{job['state']} and still held"
            if job["state"] in ENDED | {JobState.PAUSED}:
                assert not turns[pk], f"{job['state']} and a turn is held"
            if job["state"] == JobState.PAUSED:
                assert not held

    def _effects_are_had_once(self, now: Snapshot) -> None:
        """In the database: exactly those of the items that succeeded."""
        notes = Counter(row["note"] for row in now.effects if row["item"] != "finished")
        succeeded = Counter(
            f"{job}:{position}"
            for (job, position), row in now.outcomes.items()
            if row["state"] == "succeeded"
            and self._is(now, job, "stepwise")
            and not row["message"].startswith("Decided")  # by a person, who wrote nothing
        )
        assert notes == succeeded, f"effects without success: {notes - succeeded}, the reverse: {succeeded - notes}"
        keys = Counter(row["item"] for row in now.effects if row["item"] != "finished")
        assert all(count == 1 for count in keys.values()), f"twice for one key: {keys}"
        ends = Counter(row["note"] for row in now.effects if row["item"] == "finished")
        finished = Counter(job["params"]["tag"] for job in now.jobs.values() if job["state"] in FINISHED)
        assert ends == finished, f"finish ran {ends}, jobs finished {finished}"

    def _effects_outside_are_known(self, now: Snapshot) -> None:
        """With “hold”: never repeated unless a person said so. Nowhere: a success without its effect."""
        decided = self._decided(now)
        allowed = self._allowed(now, decided)
        for key, count in self.ledger.by_key().items():
            if self._is(now, key.partition(":")[0], "stepwise-holding"):
                assert count <= 1 + allowed[key], f"{key}: {count} effects, allowed by people: {allowed[key]}"
        places = self.ledger.by_place()
        for place, row in now.outcomes.items():
            if row["state"] == "succeeded" and place not in decided and not self._is(now, place[0], "stepwise"):
                assert places[place], f"{place} succeeded without its effect"

    def _effects_are_not_hidden(self, now: Snapshot) -> None:
        """With “hold”: whatever was done, or may have been done, shows."""
        decided = self._decided(now)
        in_hand = {(row["job_id"], row["in_hand"]) for row in now.chunks.values()}
        for place in self.ledger.by_place():
            if self._is(now, place[0], "stepwise-holding") and place not in in_hand and place not in decided:
                state = now.outcomes[place]["state"] if place in now.outcomes else "unprocessed"
                assert state in {"succeeded", "in_doubt"}, f"the effect of {place} was had, and it is {state}"

    def _allowed(self, now: Snapshot, decided: set[tuple[str, int]]) -> Counter[str]:
        """How often people said that an effect may be had once more."""
        allowed = Counter(self._key(now, job, position) for job, position in decided)
        asked_again = Counter(job["root_id"] for job in now.jobs.values() if job["retry_items"] == "in_doubt")
        for key in self.ledger.by_key():
            allowed[key] += asked_again[key.partition(":")[0]]
        return allowed

    def _decided(self, now: Snapshot) -> set[tuple[str, int]]:
        found = set()
        for event in now.events:
            if event["kind"] == "decided" and (told := re.match(r"Item (\d+):", event["detail"])):
                found.add((event["job_id"], int(told[1])))
        return found

    def _key(self, now: Snapshot, job: str, position: int) -> str:
        """Of an item of a job that is its own root; of a child's item, what the ledger says."""
        known = [one.key for one in self.ledger.had if (one.job, one.position) == (job, position)]
        return known[0] if known else f"{job}:{position}"

    @staticmethod
    def _is(now: Snapshot, job: str, operation: str) -> bool:
        return now.jobs[job]["operation"] == operation

    def _nothing_is_undone(self, now: Snapshot) -> None:
        """What is settled stays, and cursors and fences only grow."""
        if self.before is None:
            return
        for place, row in self.before.outcomes.items():
            after = now.outcomes.get(place)
            assert after is not None, f"the outcome of {place} is gone"
            if row["state"] in SETTLED:
                assert after["state"] == row["state"], f"{place} was {row['state']}, and is {after['state']}"
            assert after["attempt"] >= row["attempt"]
            over = self.before.jobs[place[0]]["state"] in AT_REST and row["state"] != "in_doubt"
            assert not over or {**after, "due": 0} == {**row, "due": 0}, f"{place} was touched after its job's end"
        for place in now.outcomes.keys() - self.before.outcomes.keys():
            states = [of.jobs[place[0]]["state"] for of in (self.before, now) if place[0] in of.jobs]
            if len(states) == 2 and states[0] in AT_REST | {JobState.PAUSED}:
                assert states[0] != states[1], f"{place} was processed while its job was {states[0]}"
        for pk, row in self.before.chunks.items():
            if (later := now.chunks.get(pk)) is not None:
                assert (later["cursor"], later["epoch"]) >= (row["cursor"], row["epoch"])
                assert later["epoch"] >= row["epoch"]
            else:
                assert row["cursor"] == 0, "a chunk that was begun is gone"

    def _rows_agree(self, now: Snapshot) -> None:
        """Asked again only where something changed."""
        for pk, job in now.jobs.items():
            looks = (
                job,
                [row for row in now.chunks.values() if row["job_id"] == pk],
                [row for (of, _), row in now.outcomes.items() if of == pk],
            )
            if self._verified.get(pk) != looks:
                verdict = verify(UUID(pk))
                assert verdict is not None
                assert verdict.agrees, verdict.disagreements
                self._verified[pk] = looks
