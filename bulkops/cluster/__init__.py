"""The worker cluster on django-q2: a leader, its worker processes, and how a worker takes messages from the queue.

What of django-q2 is used inside: `worker()`, its signed payloads and its table. There is no pusher, no monitor and no
shared queue or lock between processes, so no process's death can wedge another.
"""
