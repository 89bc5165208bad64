"""Calls other systems over HTTP, on behalf of users who must not reach through it what only this machine can reach.

A host must be on a list, each of its addresses on the public internet or in a network that a setting opens. Redirects
are not followed, no proxy, netrc or cookie is used, nothing is unpacked, and time and size have limits in all.

`asking` is not imported here: what it stands on need not be installed where nobody is called.
"""

from bulkops.outbound.errors import (
    AddressRefused,
    AnswerLost,
    AnswerTooLarge,
    AnswerTooLate,
    HostNotAllowed,
    NotReached,
    NotSendable,
    OutboundError,
)

__all__ = (
    "AddressRefused",
    "AnswerLost",
    "AnswerTooLarge",
    "AnswerTooLate",
    "HostNotAllowed",
    "NotReached",
    "NotSendable",
    "OutboundError",
)
