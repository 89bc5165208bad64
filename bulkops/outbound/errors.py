"""What can go wrong on the way out: told apart by whether the request was sent, and so may have had an effect.

No text here repeats a header, a body or anything that the other side sent: those may hold what nobody is to read.
"""

from __future__ import annotations

from bulkops.exceptions import BulkopsError


class OutboundError(BulkopsError):
    """The request could not be made."""

    code = "http-error"


class NotSendable(OutboundError):
    """The request is malformed; nothing was sent, and asking again is no use."""

    code = "http-malformed"


class HostNotAllowed(OutboundError):
    """This site does not call that host; nothing was sent."""

    code = "http-host-not-allowed"


class AddressRefused(OutboundError):
    """The host's name leads to an address that must not be called; nothing was sent."""

    code = "http-address-refused"


class NotReached(OutboundError):
    """The other side was not reached; nothing was sent."""

    code = "http-not-reached"


class AnswerLost(OutboundError):
    """The request was sent, or a part of it, and no whole answer came back."""

    code = "http-no-answer"


class AnswerTooLate(AnswerLost):
    """The request was sent, and the answer did not come to its end in time."""

    code = "http-timed-out"


class AnswerTooLarge(AnswerLost):
    """The request was sent, and its answer is larger than can be read."""

    code = "http-answer-too-large"
