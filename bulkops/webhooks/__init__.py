"""Webhooks and e-mails that tell of a job's end: an outbox in the job's own transaction, sent by a process of its own.

`outbox` writes what is to be sent, and `bodies` what it says. `claiming` takes the deliveries that are due, one at a
time of each endpoint, and `recording` keeps what came of an attempt; between the two, `calling` and `mailing` send
outside any transaction. `courier` goes round with all of them. `registering` is what the faces call. The protocol is
Standard Webhooks (`signing`).
"""
