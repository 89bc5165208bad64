"""Why a file could not be processed, each with a stable code."""

from __future__ import annotations

from bulkops.exceptions import BulkopsError


class FileProblem(BulkopsError):
    """This file could not be processed."""

    code = "file-problem"


class WrongType(FileProblem):
    """The file is not an image, a PDF or a video."""

    code = "wrong-type"


class Corrupt(FileProblem):
    """The file is broken."""

    code = "corrupt"


class TooLarge(FileProblem):
    """The file is too large, or unpacks to something that is."""

    code = "too-large"


class Encrypted(FileProblem):
    """The file needs a password."""

    code = "encrypted"
