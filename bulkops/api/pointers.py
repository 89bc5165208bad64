"""JSON Pointers (RFC 6901) as URI fragments, by which a problem says where in the body something is wrong."""

from __future__ import annotations

from urllib.parse import quote


def pointer_to(*path: object) -> str:
    """`#/items/17/amount`."""
    return "#" + "".join(f"/{quote(_escaped(str(one)), safe='~!$&()*+,;=:@-._')}" for one in path)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
