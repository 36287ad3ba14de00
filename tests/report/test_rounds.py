"""The loop on the page: which frames come next and why, from what `label-next` wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ifrkit.core.errors import ConfigError
from ifrkit.report.rounds import Round, _rounds, section


def project(place: Path) -> Path:
    (place / "unsure").mkdir(parents=True)
    (place / "to_label.txt").write_text("street/street_000009\nstreet/street_000019\nwalk/0007\n")
    for name in ("street_000019", "walk_0007", "street_000009"):
        Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(place / "unsure" / f"{name}.png")
    rows = [
        {"name": "street/street_000019", "score": 0.75, "parts": {"uncertain": 1.0, "stands_for": 0.5}},
        {"name": "walk/0007", "score": 0.5, "parts": {"uncertain": 0.25, "stands_for": 0.75}},
    ]
    (place / "label_next.json").write_text(json.dumps(rows))
    return place


def test_the_frames_that_come_next(tmp_path: Path) -> None:
    place = project(tmp_path / "p")
    text = section(place, tmp_path)
    assert "<h2>The loop</h2>" in text
    assert "3 frames were proposed so far" in text
    assert '<td class="bar" style="--v:75.0%">0.75</td>' in text
    assert text.count("<figure>") == 2  # those of this round alone
    assert "walk_0007: what is unsure, in red" in text
    (place / "predicted").mkdir()
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(place / "predicted/walk_0007.png")
    text = section(place, tmp_path)
    assert text.count("<figure>") == 3
    assert text.index("walk_0007: what is unsure") < text.index("walk_0007: what it says")


def test_a_list_that_windows_saved(tmp_path: Path) -> None:
    (tmp_path / "to_label.txt").write_bytes("a/0001\r\nb/0002\r\n".encode("utf-16"))
    assert "2 frames were proposed so far: a/0001, b/0002." in section(tmp_path, tmp_path)


def test_before_the_first_model_the_names_alone(tmp_path: Path) -> None:
    (tmp_path / "to_label.txt").write_text("a/<b>\n")
    text = section(tmp_path, tmp_path)
    assert "a/&lt;b&gt;" in text
    assert "<b>" not in text


def test_a_curve_over_the_labels_of_the_rounds() -> None:
    found = [Round("", labels, miou, "") for labels, miou in ((4, 0.3), (8, 0.45), (12, None))]
    text = _rounds(found)
    assert text.count("<svg") == 1
    assert text.count("<use") >= 2 or text.count("<path") >= 2
    assert "<td>12</td>" in text  # a round without mIoU is in the table alone
    assert "<svg" not in _rounds(found[:1])
    assert _rounds([]) == ""


def test_what_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no to_label\.txt in it"):
        section(tmp_path / "nowhere", tmp_path)
    place = project(tmp_path / "p")
    strange = ('[{"name": 1}]', '[{"name": "a", "score": 1, "parts": {"stands_for": "x"}}]', "[1]", "[" * 100_000)
    for text in (*strange, '[{"name": "a", "score": 1, "parts": 3}]'):
        (place / "label_next.json").write_text(text)
        with pytest.raises(ConfigError, match=r"label_next\.json: not as label-next writes it"):
            section(place, tmp_path)
