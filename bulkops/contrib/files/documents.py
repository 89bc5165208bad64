"""PDFs: pages, text and what they say of themselves, within bounds of pages, text and time."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import IO

from bulkops import packages
from bulkops.contrib.files.problems import Corrupt, Encrypted, FileProblem, TooLarge

packages.need("pypdf")

MAX_PAGES = 2_000
MAX_TEXT_CHARS = 5_000_000
MAX_SECONDS = 60.0
"""For all pages together; looked at between two of them. A page that takes longer ends with the item's own limit."""
SHOWN_CHARS = 200

# It tells of each oddity of each file; what matters becomes the item's failure.
logging.getLogger("pypdf").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Document:
    """What is known of a PDF."""

    pages: int
    text: str
    title: str
    author: str


def read(file: IO[bytes]) -> Document:
    """Read all pages' text. Raises Encrypted, TooLarge or Corrupt."""
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

    try:
        return _read(file)
    except FileProblem:
        raise
    except (FileNotDecryptedError, DependencyError):
        raise Encrypted("The PDF needs a password.") from None
    except (LimitReachedError, MemoryError):
        raise TooLarge("The PDF unpacks to more than is taken.") from None
    except RecursionError:
        raise Corrupt("The PDF is broken: it refers to itself without end.") from None
    except Exception as error:  # pypdf meets a broken file with whatever its parsing stumbles upon
        raise Corrupt(f"The PDF is broken: {str(error)[:200] or type(error).__name__}") from None


def _read(file: IO[bytes]) -> Document:
    from pypdf import PdfReader

    reader = PdfReader(file, strict=False)
    # The empty password opens those that only forbid things.
    if reader.is_encrypted and not reader.decrypt(""):
        raise Encrypted("The PDF needs a password.")
    pages = len(reader.pages)
    if not pages:
        raise Corrupt("The PDF has no pages.")
    if pages > MAX_PAGES:
        raise TooLarge(f"The PDF has {pages:,} pages; at most {MAX_PAGES:,} are taken.")
    ends_at = time.monotonic() + MAX_SECONDS
    texts: list[str] = []
    length = 0
    for page in reader.pages:
        text = page.extract_text()
        length += len(text)
        if length > MAX_TEXT_CHARS:
            raise TooLarge(f"The PDF has more than {MAX_TEXT_CHARS:,} characters of text.")
        texts.append(text)
        if time.monotonic() > ends_at:
            raise TooLarge(f"Reading the PDF's text took longer than {MAX_SECONDS:g} s.")
    about = reader.metadata
    return Document(
        pages,
        "\f\n".join(texts).replace("\x00", ""),
        title=_words(about.title if about else None),
        author=_words(about.author if about else None),
    )


def _words(value: object) -> str:
    """A line that people may read, of whatever a PDF says."""
    return "".join(one for one in str(value or "") if one.isprintable())[:SHOWN_CHARS].strip()
