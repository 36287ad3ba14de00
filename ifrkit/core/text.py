"""Text that others wrote (names of classes, files and videos, manifests, errors), made safe to show.

Every display, table, progress bar, error line, page, picture and script takes such text through `safe`. Nothing else
decides what may reach a terminal; what a page or a shell needs beyond it (escaped marks, quotes) comes on top.
"""

from __future__ import annotations

import hashlib
import unicodedata

_HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls (escape sequences, NUL, line breaks, C1), what turns or hides text (bidi, zero width), lone surrogates
(bytes of a name that are not UTF-8), line and paragraph separators."""
_JOINERS = "\u200c\u200d"
"""Persian, Indic and emoji names need them; they only join what stands beside them."""

_LONGEST, _CUT = 200, 180
"""Bytes of a file's name; file systems take 255, and a suffix or a number comes on top."""


def safe(text: object) -> str:
    """One line that says what the text is: harmful characters as Python writes them (ESC as "\\x1b"), the rest as is.

    Text without harmful characters comes back unchanged, so it may go through here twice.
    """
    line = str(text)
    return line if line.isprintable() else "".join(map(_shown, line))


def is_safe(text: str) -> bool:
    """Whether a text can be shown, and read back, as the line that it is."""
    return safe(text) == text


def _shown(char: str) -> str:
    if unicodedata.category(char) in _HARMFUL and char not in _JOINERS:
        return char.encode("unicode_escape").decode()
    return char


def file_name(text: str) -> str:
    """A name of a file in an artifact, of any text: without separators of directories ("a/b" is "a_b").

    Where more than that has to change (harmful characters, backslashes, too long), a hash keeps two names two.
    """
    name = safe(text).replace("/", "_")
    if "\\" not in name and len(name.encode()) <= _LONGEST:
        return name
    kept = name.replace("\\", "_").encode()[:_CUT].decode(errors="ignore")
    return f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
