"""Which images and which classifier the loss of a method teaches; everything else it only looks at."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ifrkit.artifacts.store import Artifact
from ifrkit.core.plugins import load, names
from ifrkit.testing.methods import terms_of, toy_clips, toy_task

TDC = {f"t{i}{copy}" for i in range(5) for copy in ("", "_s")}

REACHED: dict[tuple[str, str], tuple[set[str], bool]] = {
    ("ifr", ""): ({"v0_0", "v0_1", "v0_1_s", "v1_0", "v1_1", "v1_1_s"}, True),
    ("cct", ""): ({"v1_0"}, False),  # the auxiliary decoders learn, the main one does not
    ("cac", ""): ({"v1_0_a", "v1_0_b"}, False),
    ("cps", ""): ({"v0_0", "v1_0"}, True),
    ("cps", "cutmix"): ({"v1_0"}, True),
    ("blend", ""): ({"v0_0", "v1_0_b"}, True),  # true pixels are pasted into the strong view
    ("fixmatch", ""): ({"v1_0_j"}, True),
    ("cutmix", ""): ({"v1_0_c"}, True),
    ("classmix", ""): ({"v1_0_m"}, True),
    ("unimatch", ""): ({"v1_0", "v1_0_j", "v1_0_j2"}, True),
    ("unimatch", "version"): ({"v1_0_j", "v1_0_j2"}, True),
    ("tdc", ""): (TDC, False),  # prototypes carry gradients to the weak frames
    ("tps", ""): ({"v1_0_t"}, True),
    ("self-training", ""): ({"pseudo_s"}, True),
    ("pseudoseg", ""): ({"v1_0_p"}, True),
    ("dars", ""): ({"aligned_b"}, True),
    ("distill", ""): ({"v1_0", "v1_0_n"}, True),
    ("advsemi", ""): ({"v0_0", "v1_0"}, True),
    ("s4gan", ""): ({"v0_0", "v1_0"}, True),  # its discriminator looks at the labeled image itself
}
"""Method and option -> views that get a gradient, and whether the classifier does."""

OPTIONS: dict[str, Any] = {"": {}, "cutmix": {"cutmix": True}, "version": {"version": 2}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return toy_clips(tmp_path_factory.mktemp("workspace"))


def test_no_method_is_left_out() -> None:
    own = {name for name in names("methods") if load("methods", name).__module__.startswith("ifrkit.")}
    assert {name for name, _ in REACHED} == own - {"none"}


@pytest.mark.parametrize(("ssl", "option"), REACHED)
def test_gradients_reach_these_and_nothing_else(clips: Artifact, ssl: str, option: str) -> None:
    method = load("methods", ssl)
    things = {"things": [4, 5, 6, 7], "vat": 0} if ssl == "cct" else {}  # the adversarial kind has a path of its own
    task = toy_task(ssl, clips, method={ssl: {**method.OPEN, **OPTIONS[option], **things}})
    with torch.no_grad():
        task.network.decode_head.conv_seg.weight *= 30  # predictions that are not all alike
    batch = task.to_device(next(iter(task.batches(0, 1))))
    for view in batch.views.values():
        view.requires_grad_()
    terms = terms_of(task, batch)
    for other in (
        "sup",
        "cps.second",
        "pseudoseg.labels",
        f"{ssl}.discriminator",
    ):  # of labels, or of a module beside the network
        terms.pop(other, None)
    classifier = task.network.decode_head.conv_seg.weight
    inputs = [*batch.views.values(), classifier]
    *of_views, of_classifier = torch.autograd.grad(torch.stack(list(terms.values())).sum(), inputs, allow_unused=True)
    reached = {name for name, g in zip(batch.views, of_views, strict=True) if g is not None and g.any()}
    views, taught = REACHED[ssl, option]
    assert reached == views
    assert (of_classifier is not None and bool(of_classifier.any())) == taught
