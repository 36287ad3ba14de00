"""What the pixels of label images mean: the class table decides, not the way in which a file happens to store them.

The same label may be an image of ids, the same packed into a palette (as programs do that make files smaller), an
indexed image whose palette holds the colours of the classes, in any order, or RGB. There are three readings:

    numbers   the stored numbers are ids: of a grey image, or the places in a palette
    values    the shown grey values are ids
    colors    the shown colours are those of the class table

One is chosen for all labels of a kind together: an image of sky alone, ids 0, looks like a black one. Where two fit and
differ, or the palette fits neither ids nor colours, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.media.classes import ClassTable, named_table, one_spelling
from ifrkit.media.label_image import ERASED, LabelImage, Storage, Symbol
from ifrkit.media.palette import RGB, distinct_colors, ids_of_codes


class OutsideTable(DatasetError):
    """A label holds an id or a colour that the class table does not have."""


Reading = Literal["numbers", "values", "colors"]
_MOST_DERIVED = 64
"""An image with more distinct ids than this is not a label (a photograph, a blurred mask)."""
_MOST_KINDS = 1 << 12
"""A photograph has any number of colours, and is refused for the first ones."""
_MOST_SHOWN = 4
_UNKNOWN = 254
_IDS_OR_COLORS = (
    "write the palette's colours into classes.yaml, or give the classes ids without colours (`road: {id: 1}`) if the "
    "numbers count"
)
_BOTH_WAYS = (
    "give each class its id beside its colour (`road: {color: [255, 255, 255], id: 255}`), and list under ignore what "
    "is none"
)


@dataclass
class Seen:
    """Labels of one storage. first: the first file. symbols: all that occur. shades: whether one of them looks shaded.

    Shaded is what holds nothing but grey levels from black to white at equal distances.
    """

    first: str
    symbols: set[Symbol] = field(default_factory=set)
    shades: bool = False

    @property
    def grey(self) -> bool:
        """Whether everything in them is shown grey."""
        return all(symbol.color is not None and len(set(symbol.color)) == 1 for symbol in self.symbols)

    @property
    def packed(self) -> bool:
        """Whether they are grey images in palettes: no program that makes files smaller gives a shade two places."""
        repeats = self.same_palette and len({symbol.color for symbol in self.symbols}) < len(self.symbols)
        return self.grey and not repeats

    @property
    def same_palette(self) -> bool:
        """Whether a number has one colour in all of them."""
        return len({symbol.number for symbol in self.symbols}) == len(self.symbols)

    @property
    def consistent(self) -> bool:
        """Whether a colour has one number, too (but for what is ignored)."""
        colored = [symbol.color for symbol in self.symbols if symbol.color and symbol.number != IGNORE]
        return self.same_palette and len(set(colored)) == len(colored)


@dataclass
class Survey:
    """What all labels of an export hold. erased: how many have transparent pixels."""

    seen: dict[Storage, Seen] = field(default_factory=dict)
    erased: int = 0

    def add(self, image: LabelImage, where: str) -> None:
        """One more label."""
        seen = self.seen.setdefault(image.storage, Seen(where))
        if len(seen.symbols) < _MOST_KINDS:
            own = [image.symbol(code) for code in image.used()[:_MOST_KINDS].tolist()]
            seen.symbols.update(own)
            seen.shades |= _spread({symbol.color[0] for symbol in own if symbol.color})
        self.erased += bool((image.codes_hw == ERASED).any())

    def reading(self, storage: Storage, table: ClassTable) -> Reading:
        """How labels of a storage are to be read. Raises DatasetError that shows both readings where that is open."""
        seen = self.seen[storage]
        if storage == "colors":
            fits = _read(seen, "colors", table) is None and _read(seen, "values", table) is not None
            return "values" if fits else "colors"
        if storage == "bits":
            return _of_bits(seen, table, alone="grey" not in self.seen)
        if storage == "grey" or seen.packed:
            return _of_grey(seen, "numbers" if storage == "grey" else "values", table)
        return _of_palette(seen, table)

    def derive(self) -> ClassTable:
        """A table without classes.yaml: classes named after the ids that occur."""
        present: set[int] = set()
        for storage, seen in self.seen.items():
            present |= _ids(seen, storage, alone="grey" not in self.seen)
            if len(present - {IGNORE}) > _MOST_DERIVED:
                fault = f"{seen.first}: more than {_MOST_DERIVED} distinct ids; is this a label?"
                raise DatasetError(fault, "write classes.yaml")
        if _spread(present) and any(seen.shades for seen in self.seen.values()):
            (first, *_) = (seen.first for seen in self.seen.values())
            shown = ", ".join(map(str, sorted(present)))
            fault = f"{first}: the labels hold {shown} and nothing else: ids, or shades for the eye?"
            example = f"`road: {{id: {max(present)}}}`"
            raise DatasetError(fault, f"write a classes.yaml that gives each class its id, as in {example}")
        ids = sorted(present - {IGNORE})
        if not ids:
            raise DatasetError("no label holds any class id", "write a classes.yaml, or label a frame")
        names = tuple(f"class_{i}" for i in ids)
        return ClassTable(
            space=LabelSpace(names=names, colors=distinct_colors(len(ids))),
            by_id={stored: i for i, stored in enumerate(ids)} | {IGNORE: IGNORE},
            by_color={},
            by_name={name: i for i, name in enumerate(names)},
        )


def class_ids(image: LabelImage, how: Reading, table: ClassTable, where: Path | str) -> Label:
    """A label as class ids; what is transparent counts as what nobody labeled.

    Raises DatasetError for ids or colours that the table does not have.
    """
    erased = image.codes_hw == ERASED
    if image.storage == "colors" and how == "colors":
        label, unknown = ids_of_codes(np.where(erased, np.int32(0), image.codes_hw), table.by_color)
    else:
        lookup = np.full(max(int(image.codes_hw.max(initial=0)), 0) + 1, _UNKNOWN, np.uint8)
        for code in image.used().tolist():
            found = _class(image.symbol(code), how, table)
            lookup[code] = _UNKNOWN if found is None else found
        label = lookup[np.where(erased, np.int32(0), image.codes_hw)]
        unknown = label == _UNKNOWN
    label[erased] = table.unlabeled
    unknown &= ~erased
    if unknown.any():
        codes, counts = np.unique(image.codes_hw[unknown], return_counts=True)
        symbols = dict(zip(map(image.symbol, codes.tolist()), counts.tolist(), strict=True))
        raise _outside(symbols, how, where)
    return label


def ids_of_names(
    image: LabelImage,
    names: Mapping[int, str | None],
    colors: Mapping[RGB, str | None],
    table: ClassTable,
    where: str,
) -> Label:
    """Class ids of a label whose export names what its numbers and colours are; None is what nobody labeled.

    Raises OutsideTable for what the export does not name, DatasetError for names that the class table lacks.
    """
    known = list(dict.fromkeys([*names.values(), *colors.values()]))
    own = ClassTable(
        space=named_table(where, [str(place) for place in range(len(known))]).space,
        by_id={IGNORE: IGNORE} | {number: known.index(name) for number, name in names.items()},
        by_color={color: known.index(name) for color, name in colors.items()},
        by_name={},
    )
    survey = Survey()
    survey.add(image, where)
    places = class_ids(image, survey.reading(image.storage, own), own, where)
    ids = [table.unlabeled if name is None else table.by_name.get(one_spelling(name)) for name in known]
    counts = np.bincount(places.ravel(), minlength=IGNORE + 1)
    lacking = [place for place, index in enumerate(ids) if index is None and counts[place]]
    if lacking:
        worst = max(lacking, key=lambda place: int(counts[place]))
        raise table.lacks(f"{where}: {counts[worst]} pixels of label {known[worst]!r}", str(known[worst]))
    lookup = np.full(IGNORE + 1, IGNORE, np.uint8)
    lookup[: len(ids)] = [IGNORE if index is None else index for index in ids]
    label: Label = lookup[places]
    label[image.codes_hw == ERASED] = table.unlabeled
    return label


def _outside(counts: dict[Symbol, int], how: Reading, where: Path | str) -> OutsideTable:
    """The error for what the table lacks. counts: how many pixels hold each."""
    if how == "colors":
        worst = max(counts, key=lambda symbol: counts[symbol])
        if worst.color is None:
            fault = f"{counts[worst]} pixels hold the number {worst.number}, which its palette has no colour for"
            return OutsideTable(f"{where}: {fault}", "save the label again, as RGB")
        return OutsideTable(
            f"{where}: {sum(counts.values())} pixels in {len(counts)} colours outside the class table, most of them "
            f"{counts[worst]} x {list(worst.color)}",
            "add the colour to classes.yaml, as a class or under ignore",
        )
    ids = ", ".join(str(_number(symbol, how)) for symbol in list(counts)[:8])
    remedy = "add them to classes.yaml, as classes or under ignore"
    return OutsideTable(f"{where}: label ids {ids} are outside the label space", remedy)


def _number(symbol: Symbol, how: Reading) -> int | None:
    if how == "numbers":
        return symbol.number
    return symbol.color[0] if symbol.color is not None and len(set(symbol.color)) == 1 else None


def _class(symbol: Symbol, how: Reading, table: ClassTable) -> int | None:
    if how == "colors":
        return None if symbol.color is None else table.by_color.get(symbol.color)
    number = _number(symbol, how)
    return None if number is None else table.by_id.get(number)


def _read(seen: Seen, how: Reading, table: ClassTable) -> dict[Symbol, int] | None:
    """The class of everything that occurs; None where the table lacks anything of it."""
    found = {symbol: _class(symbol, how, table) for symbol in seen.symbols}
    whole = {symbol: index for symbol, index in found.items() if index is not None}
    return whole if len(whole) == len(found) else None


def _of_grey(seen: Seen, ids: Reading, table: ClassTable) -> Reading:
    by_id, by_color = _read(seen, ids, table), _read(seen, "colors", table)
    if by_id is None and by_color is None:
        places = _read(seen, "numbers", table)
        if places is not None and table.colored:
            raise _doubt(seen, table, "numbers", "values", _IDS_OR_COLORS)
        return ids if places is None else "numbers"
    if by_id is None:
        return "colors"
    if by_color is not None and by_color != by_id:
        if all(_number(symbol, ids) in table.assumed for symbol in seen.symbols if by_color[symbol] != by_id[symbol]):
            return "colors"  # only the default says otherwise, by which 255 is ignored
        raise _doubt(seen, table, ids, "colors", _BOTH_WAYS)
    numbers = {number for symbol in seen.symbols if (number := _number(symbol, ids)) is not None}
    if by_color is None and table.assumed & numbers and seen.shades and _spread(numbers):
        raise _doubt(seen, table, ids, "colors", _BOTH_WAYS)
    return ids


def _of_bits(seen: Seen, table: ClassTable, alone: bool) -> Reading:
    numbers, values = _read(seen, "numbers", table), _read(seen, "values", table)
    if _read(seen, "colors", table) is not None:
        return "colors"
    if numbers is None or values is None:
        return "values" if numbers is None and values is not None else "numbers"
    if not alone and numbers != values:
        raise _doubt(seen, table, "numbers", "values", "save all labels with 8 bits a pixel")
    return "numbers"


def _of_palette(seen: Seen, table: ClassTable) -> Reading:
    by_color, by_id = _read(seen, "colors", table), _read(seen, "numbers", table)
    if by_color is not None:
        if by_id is not None and all(by_color[s] == by_id[s] for s in seen.symbols if s.number != IGNORE):
            return "numbers"  # the palette is that of the class table; 255 has no colour of its own
        if by_id is not None and _lossy(seen, by_id):
            raise _doubt(seen, table, "numbers", "colors", _BOTH_WAYS)
        return "colors"
    if by_id is None:
        return "colors" if table.colored else "numbers"
    if not table.colored and seen.consistent:
        return "numbers"
    known = {symbol: _class(symbol, "colors", table) for symbol in seen.symbols}
    # The palette is that of the class table, but for a colour of what is ignored.
    if any(index is not None for index in known.values()) and all(
        index == by_id[symbol] or (index is None and by_id[symbol] == IGNORE) for symbol, index in known.items()
    ):
        return "numbers"
    raise _doubt(seen, table, "numbers", "colors", _IDS_OR_COLORS)


def _lossy(seen: Seen, by_id: dict[Symbol, int]) -> bool:
    """Whether one colour of a palette, the same in all labels, stands for numbers of several classes."""
    pairs = {(symbol.color, by_id[symbol]) for symbol in seen.symbols}
    return seen.same_palette and len({color for color, _ in pairs}) < len(pairs)


def _ids(seen: Seen, storage: Storage, alone: bool) -> set[int]:
    """The ids in labels without a class table."""
    if storage == "colors":
        colors = sorted(symbol.color for symbol in seen.symbols if symbol.color is not None)
        fault = f"a label in {len(colors)} colours ({[list(color) for color in colors[:4]]} ...)"
        raise DatasetError(
            f"{seen.first}: {fault}, and there is no class table", "write a classes.yaml that names each colour"
        )
    how: Reading = "values" if storage == "palette" and seen.packed else "numbers"
    if (storage == "bits" and not alone) or (storage == "palette" and not seen.packed and not seen.consistent):
        what = "some labels have fewer bits a pixel than others" if storage == "bits" else "palettes of labels differ"
        fault = f"{seen.first}: {what}, so their numbers cannot be ids, and there is no class table"
        raise DatasetError(fault, "write a classes.yaml that names each colour")
    return {number for symbol in seen.symbols if (number := _number(symbol, how)) is not None}


def _spread(ids: Collection[int]) -> bool:
    """Whether these are grey levels from black to white at equal distances, such as 0 and 255, not ids."""
    steps = len(ids) - 1
    return steps > 0 and 0 in ids and all(abs(value - 255 * k / steps) <= 1 for k, value in enumerate(sorted(ids)))


def _doubt(seen: Seen, table: ClassTable, first: Reading, second: Reading, remedy: str) -> DatasetError:
    """Both readings of what occurs, and what would settle it."""
    words = {"numbers": "numbers as ids", "values": "grey values as ids", "colors": "colours"}
    shown = "; ".join(f"read by {words[how]}: {_shown(seen.symbols, how, table)}" for how in (first, second))
    return DatasetError(f"{seen.first}: may mean two things; {shown}", remedy)


def _shown(symbols: Iterable[Symbol], how: Reading, table: ClassTable) -> str:
    names = []
    ordered = sorted(symbols, key=lambda symbol: (symbol.number, symbol.color or (0, 0, 0)))
    for symbol in ordered[:_MOST_SHOWN]:
        key = _number(symbol, how) if how != "colors" else symbol.color and list(symbol.color)
        found = _class(symbol, how, table)
        name = "no class" if found is None else "ignored" if found == IGNORE else table.space.names[found]
        names.append(f"{key} {name}")
    return ", ".join(names) + (", ..." if len(ordered) > _MOST_SHOWN else "")
