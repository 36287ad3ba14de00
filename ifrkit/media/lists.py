"""Lists of videos or frames, one a line, as users and published datasets write them."""

from __future__ import annotations

from pathlib import Path

from ifrkit.core.encoding import decode, lines
from ifrkit.core.errors import DatasetError
from ifrkit.media.names import IMAGES


def read_list(path: Path) -> list[str]:
    """Lines of a list, each as it stands there. Raises DatasetError for a file that is not text."""
    try:
        return lines(decode(path.read_bytes()))
    except UnicodeError as error:
        raise DatasetError(f"cannot read {path} ({error})", "save it as UTF-8") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path} ({error.strerror})", "check the path") from error


def readings(line: str) -> list[str]:
    """Names that a line may mean, the likeliest first; none for an empty line and for a comment (# at its beginning).

    A name may hold blanks, commas and "#"; but a line may also have a comment after a blank, several columns (the first
    counts), quotes, and the suffix of an image file.
    """
    whole = line.strip()
    if not whole or whole.startswith("#"):
        return []
    plain = whole.split(" #")[0].split("\t#")[0].rstrip()
    columns = [plain.split("\t")[0], plain.split(",")[0], plain.split()[0] if plain else ""]
    found = [line, whole, plain, *columns]
    found += [name[1:-1] for name in found if len(name) > 2 and name[0] == name[-1] and name[0] in "\"'"]
    names = [short for name in found if name for short in (name, _stem(name))]
    return list(dict.fromkeys(names))


def _stem(name: str) -> str:
    """Without the suffix of an image file."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix.lower() in IMAGES else name
