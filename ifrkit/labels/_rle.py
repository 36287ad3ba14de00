"""The run-length code of Label Studio's brush, which is the format of the JavaScript package `@thi.ng/rle-pack`.

A stream of bits, the highest bit of a byte first. It begins with

    32 bits        the number of words
    5 bits         the size of a word, less 1
    4 x 4 bits     four sizes of lengths, each less 1

and goes on with chunks until all words are there:

    1 bit          1: a run, one word repeated; 0: words as they are
    2 bits         which of the four sizes the length has
    that many      the length, less 1
    the words      one word of a run, else as many as the length says
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = 8


class _Bits:
    """Unsigned numbers out of bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def number(self, size: int) -> int:
        """The next `size` bits. Raises ValueError after the end."""
        end = self._end(size)
        taken = int.from_bytes(self.data[self.place >> 3 : end + 7 >> 3], "big")
        self.place = end
        return taken >> (-end % 8) & ((1 << size) - 1)

    def words(self, count: int) -> NDArray[np.uint8]:
        """The next `count` bytes, wherever between two bytes they begin."""
        end = self._end(count * _WORD)
        bits = np.unpackbits(np.frombuffer(self.data[self.place >> 3 : end + 7 >> 3], np.uint8))
        begin, self.place = self.place & 7, end
        return np.packbits(bits[begin : begin + count * _WORD])

    def _end(self, size: int) -> int:
        end = self.place + size
        if end > 8 * len(self.data):
            raise ValueError("the brush stroke ends before its last pixel")
        return end


def decode(data: bytes, count: int) -> NDArray[np.uint8]:
    """`count` words of 8 bits. Raises ValueError where the code holds another number of them, or is broken."""
    bits = _Bits(data)
    total, word = bits.number(32), bits.number(5) + 1
    if total != count or word != _WORD:
        raise ValueError(f"a brush stroke of {total} words of {word} bits, expected {count} of {_WORD}")
    sizes = [bits.number(4) + 1 for _ in range(4)]
    out = np.empty(count, np.uint8)
    place = 0
    while place < count:
        run = bits.number(1)
        length = bits.number(sizes[bits.number(2)]) + 1
        if place + length > count:
            raise ValueError("a brush stroke goes on after its last pixel")
        out[place : place + length] = bits.number(_WORD) if run else bits.words(length)
        place += length
    return out


def encode(words: NDArray[np.uint8], sizes: Sequence[int] = (3, 4, 8, 16), least: int = 3) -> bytes:
    """The code of these words. sizes: bits of lengths. Runs of `least` words and more are packed."""
    ends = [*(np.flatnonzero(words[1:] != words[:-1]) + 1).tolist(), len(words)] if len(words) else []
    code = _Code(len(words), sizes)
    start = literal = 0
    for end in ends:
        if end - start >= least:
            code.chunks(False, words[literal:start])
            code.chunks(True, words[start:end])
            literal = end
        start = end
    code.chunks(False, words[literal:])
    return code.packed()


def encode_mask(mask_hw: NDArray[np.bool_]) -> bytes:
    """The code of a brush stroke: all four channels of a pixel are 255 in the mask and 0 elsewhere."""
    return encode(np.repeat(mask_hw.ravel().view(np.uint8) * np.uint8(255), 4))


class _Code:
    """Bits that are being written."""

    def __init__(self, total: int, sizes: Sequence[int]) -> None:
        self._sizes, self._most = sizes, 1 << max(sizes)
        self._bits = [f"{total:032b}", f"{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in sizes)]

    def chunks(self, run: bool, words: NDArray[np.uint8]) -> None:
        """These words as one run, or as they are."""
        for begin in range(0, len(words), self._most):
            part = words[begin : begin + self._most]
            size, place = min((s, k) for k, s in enumerate(self._sizes) if len(part) <= 1 << s)
            self._bits.append(f"{int(run)}{place:02b}{len(part) - 1:0{size}b}")
            self._bits.extend(f"{word:08b}" for word in (part[:1] if run else part).tolist())

    def packed(self) -> bytes:
        """All bits as bytes, the last one filled up with zeros."""
        return np.packbits(np.frombuffer("".join(self._bits).encode(), np.uint8) - 48).tobytes()
