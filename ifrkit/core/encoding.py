"""Text files of users: UTF-8, with or without a byte order mark, UTF-16 and UTF-32 (Windows), or Latin-1.

Names on disk are bytes, too. Python gives what is not UTF-8 in them as lone surrogates, which neither JSON, HDF5 nor
OpenCV takes; `readable` is the name to use beside the path.
"""

from __future__ import annotations

import codecs
import os
import re

from ifrkit.core.text import safe

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""In this order: the mark of UTF-32 begins like that of UTF-16."""
_SINGLE = "cp1252"
"""Latin-1 as Windows has it; it differs in quotes and dashes."""
_LINE_END = re.compile(r"\r\n|\r|\n")


def decode(data: bytes) -> str:
    """The text in these bytes, without a byte order mark.

    Latin-1 is believed only where its letters stand alone among plain ones, as in western languages: other encodings
    would become names that nobody wrote. Raises UnicodeError for what cannot be told, and for what is not text.
    """
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return _plain(data.decode(name))
    if b"\0" in data:
        # Text of mostly plain letters has every second byte 0 in UTF-16.
        name = "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
        return _plain(data.decode(name))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = _western(data)
        if text is None:
            fault = f"byte 0x{data[error.start]:02x} at place {error.start} is not UTF-8"
            raise UnicodeError(f"{fault}, and which other encoding it has cannot be told") from error
        return text


def lines(text: str) -> list[str]:
    """Lines as editors count them: characters that only Python takes for line ends may stand in names."""
    return _LINE_END.split(text)


def is_utf8(name: str) -> bool:
    """Whether a name from the file system is UTF-8 there."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(name: str) -> str:
    """A name from the file system as one line of text that every file and library can hold.

    Bytes that are not UTF-8 are read as Latin-1; where that makes no sense they stand as \\xNN, and so do line breaks
    and other controls. All other names come back unchanged.
    """
    if not is_utf8(name):
        data = os.fsencode(name)
        name = _western(data) or data.decode(errors="backslashreplace")
    return safe(name)


def _western(data: bytes) -> str | None:
    """Latin-1, if it looks like a western language: never three letters beyond ASCII in a row."""
    try:
        text = data.decode(_SINGLE)
    except UnicodeDecodeError:
        return None
    runs = re.findall(r"[^\x00-\x7f]+", text)
    return text if all(len(run) == 1 or (len(run) == 2 and run.isalpha()) for run in runs) else None


def _plain(text: str) -> str:
    if "\0" in text:
        raise UnicodeError("it is not text")
    return text.removeprefix("\ufeff")
