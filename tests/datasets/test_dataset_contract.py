"""Every dataset plug-in, found by its name, keeps the contract of data_prep/base.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from ifrkit.core.plugins import load, names
from ifrkit.testing import check_dataset, check_fingerprint, toy


@pytest.mark.parametrize("name", names("datasets"))
def test_contract(name: str, tmp_path: Path) -> None:
    dataset = toy(name, tmp_path)
    check_dataset(dataset)
    check_fingerprint(dataset)


@pytest.mark.parametrize("name", names("datasets"))
def test_documented(name: str) -> None:
    cls = load("datasets", name)
    assert cls.__doc__
    assert cls.Config.__doc__
