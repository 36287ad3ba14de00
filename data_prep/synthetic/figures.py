"""Shapes of things that stand in the street, as textures: poles, cars, people."""

from __future__ import annotations

from data_prep.synthetic.atlas import Texture
from data_prep.synthetic.paint import CLEAR, FINE, Maker, Pen, Rng, box, clouds, draw


def _shape(pen: Pen, points: list[tuple[float, float]], fill: int) -> None:
    pen.polygon([(x * FINE, y * FINE) for x, y in points], fill=fill)


def _disc(pen: Pen, x: float, y: float, rx: float, ry: float, fill: int) -> None:
    pen.ellipse(((x - rx) * FINE, (y - ry) * FINE, (x + rx) * FINE, (y + ry) * FINE), fill=fill)


def lamp(rng: Rng) -> Texture:
    """A street lamp, 2 m by 6 m: metal, lamp, base, band."""
    arm = rng.uniform(10, 28)

    def paint(pen: Pen) -> None:
        # The shaft covers whole texels after three halvings, so it stays while the lamp can be seen.
        box(pen, 32, 6, 40, 128, 0)
        box(pen, 40 - arm, 4, 40, 7, 0)
        box(pen, 34 - arm, 3, 47 - arm, 9, 1)
        box(pen, 30, 108, 42, 128, 2)
        box(pen, 32, 60, 40, 66, 3)

    return draw(64, 128, CLEAR, paint)


def mast(rng: Rng) -> Texture:
    """A post with a box on top (traffic light, sign seen from behind), 1 m by 4 m: metal, box, lit lens, band."""
    tall = rng.uniform(18, 34)

    def paint(pen: Pen) -> None:
        box(pen, 12, 0, 20, 128, 0)
        box(pen, 9, 2, 23, 2 + tall, 1)
        for k in range(3):
            _disc(pen, 16, 2 + tall * (k + 0.5) / 3, 3.4, tall / 8, 2 if k == 0 else 3)

    return draw(32, 128, CLEAR, paint)


def car_side(rng: Rng) -> Texture:
    """Nose to the left: body, glass, tyres and sill, lamps and trim."""
    roof, bonnet = rng.uniform(3, 9), rng.uniform(24, 30)
    nose, front, back, tail = rng.uniform(24, 40), rng.uniform(42, 52), rng.uniform(88, 112), rng.uniform(112, 126)

    def paint(pen: Pen) -> None:
        cabin = [(nose, bonnet), (front, roof), (back, roof), (tail, bonnet - 2)]
        _shape(pen, [(2, 52), (1, 36), (6, 30), *cabin, (126, 32), (127, 52)], 0)
        _shape(pen, [(nose + 6, bonnet), (front + 2, roof + 3), (back - 2, roof + 3), (tail - 8, bonnet - 1)], 1)
        middle = (front + back) / 2
        box(pen, middle - 1.5, roof, middle + 1.5, 46, 0)
        box(pen, 3, 49, 125, 56, 2)
        box(pen, 1, 34, 7, 39, 3)
        box(pen, 122, 34, 127, 39, 3)
        for x in (26, 100):
            _disc(pen, x, 52, 11, 11, 2)
            _disc(pen, x, 52, 5, 5, 3)

    return draw(128, 64, CLEAR, paint, 1 + 0.04 * clouds(rng, 64, 128, 1.4))


def car_end(rng: Rng) -> Texture:
    """Rear or front: body, glass, tyres and shadow below, lamps."""
    narrow, waist = rng.uniform(8, 14), rng.uniform(24, 30)

    def paint(pen: Pen) -> None:
        _shape(pen, [(2, 54), (1, 34), (4, waist), (narrow, 4), (64 - narrow, 4), (60, waist), (63, 34), (62, 54)], 0)
        _shape(pen, [(8, waist - 1), (narrow + 3, 8), (61 - narrow, 8), (56, waist - 1)], 1)
        box(pen, 3, 53, 61, 59, 2)
        box(pen, 4, 50, 15, 64, 2)
        box(pen, 49, 50, 60, 64, 2)
        box(pen, 3, 32, 13, 38, 3)
        box(pen, 51, 32, 61, 38, 3)
        box(pen, 24, 42, 40, 47, 3)

    return draw(64, 64, CLEAR, paint)


def person_front(rng: Rng) -> Texture:
    """Seen from the front or back, 0.8 m by 1.8 m: jacket, trousers, skin, hair and shoes."""
    width, hem = rng.uniform(8, 11), rng.uniform(62, 76)

    def paint(pen: Pen) -> None:
        _disc(pen, 16, 10, 5, 7.5, 2)
        _disc(pen, 16, 7, 5.3, 5.5, 3)
        for side in (-1, 1):
            _shape(pen, [(16 + side * (width - 3), 21), (16 + side * width, 24), (16 + side * (width + 2), 66),
                         (16 + side * (width - 1.5), 66)], 0)  # fmt: skip
            _disc(pen, 16 + side * width, 68, 2, 3, 2)
            _shape(pen, [(16, 60), (16 + side * 7.5, 60), (16 + side * 7, 122), (16 + side * 2, 122)], 1)
            box(pen, 16 + min(side * 2, side * 8), 121, 16 + max(side * 2, side * 8), 127, 3)
        _shape(pen, [(16 - width, 22), (16, 18), (16 + width, 22), (16 + width - 1, hem), (17 - width, hem)], 0)

    return draw(32, 128, CLEAR, paint)


def person_side(rng: Rng) -> Texture:
    """Head and trunk from the side, 0.6 m by 1.0 m: jacket, trousers, skin, hair."""
    depth = rng.uniform(7, 10)

    def paint(pen: Pen) -> None:
        _disc(pen, 17, 10, 5.5, 8, 2)
        _disc(pen, 15, 7.5, 5.6, 6.5, 3)
        _shape(pen, [(16 - depth, 24), (16, 18), (16 + depth, 25), (16 + depth - 1, 63), (17 - depth, 63)], 0)
        _shape(pen, [(12, 26), (19, 26), (23, 50), (17, 52)], 3)

    return draw(32, 64, CLEAR, paint)


def leg(rng: Rng) -> Texture:
    """One leg from the side, hip at the top, 0.3 m by 0.9 m: jacket, trousers, skin, shoe."""
    thigh = rng.uniform(5, 6.5)

    def paint(pen: Pen) -> None:
        _shape(pen, [(8 - thigh, 0), (8 + thigh, 0), (11, 56), (5, 56)], 1)
        box(pen, 4.5, 56, 15, 63.5, 3)

    return draw(16, 64, CLEAR, paint)


def panel(rng: Rng) -> Texture:
    """Plain sheet of the first colour."""
    return draw(32, 32, 0, lambda pen: None, 1 + 0.04 * clouds(rng, 32, 32, 1.0))


FIGURES: dict[str, tuple[Maker, int]] = {
    "lamp": (lamp, 4), "mast": (mast, 3), "car_side": (car_side, 5), "car_end": (car_end, 5),
    "person_front": (person_front, 4), "person_side": (person_side, 3), "leg": (leg, 2), "panel": (panel, 1),
}  # fmt: skip
"""Maker and number of variants of each kind."""
