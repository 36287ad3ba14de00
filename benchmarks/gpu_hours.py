"""What the paper's tables cost at paper size: floating-point operations, counted, and so GPU hours, estimated.

    python benchmarks/gpu_hours.py [--tflops 10] [TABLE ...]

Each kind of training step that a table needs runs here for real, forward and backward, on a crop with a fraction of the
height and width (1/8 for Cityscapes, 1/5 for CamVid); torch's FlopCounterMode counts it (a multiplication and an
addition are two), and the count is scaled by pixels, as convolutions do. Validation, whole frames every `eval_every`
steps, is counted alike, and so is the processor time of one thread. Only --tflops, what a GPU does of this work in a
second, is an assumption. The evaluation after the training is not in it.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from typing import NamedTuple

import torch
from figures import Figures
from torch.utils.flop_counter import FlopCounterMode

from ifrkit.cli.main import in_process
from ifrkit.config.training import LoopConfig
from ifrkit.reproduce.estimate import Training, planned
from ifrkit.reproduce.matrix import Data, Matrix
from ifrkit.reproduce.probe import Probe
from ifrkit.reproduce.tables import TABLES
from ifrkit.train.stage_one import BranchTask

VALIDATED = {"cityscapes": 500, "cityscapes-vps": 400, "camvid": 0}
"""Annotated val clips (CamVid's protocol has a test split only)."""
FLOW_PAIRS = 16
"""Of a validation of flow."""


class Work(NamedTuple):
    """At paper size. step, frame: TFLOP of a training step, of one validated frame. seconds: of a step on this CPU.

    passes: image passes of a step of stage one.
    """

    step: float
    frame: float
    seconds: float
    passes: str


def crop_of(training: Training) -> tuple[int, int]:
    """(height, width) in the plan."""
    crop = training.config["crop"]
    height, width = crop["size"] if isinstance(crop, dict) else crop
    return height, width


def counted(probe: Probe, training: Training) -> Work:
    """Run a small step and a small validation, and scale both up."""
    height, width = crop_of(training)
    part = max(d for d in range(1, 9) if height % (8 * d) == width % (8 * d) == 0)
    task = probe.task(training, (height // part, width // part))
    step = probe.step(task, LoopConfig.of(training.config["loop"]))
    with FlopCounterMode(display=False) as steps:
        step()
    begun = time.process_time()
    step()
    seconds = time.process_time() - begun
    task.module.eval()
    with FlopCounterMode(display=False) as frames, torch.no_grad():
        task.validate()
    tflop, frame = (mode.get_total_flops() / 1e12 for mode in (steps, frames))
    passes = f" ({task.passes})" if isinstance(task, BranchTask) else ""
    return Work(part**2 * tflop, part**2 * frame, part**2 * seconds, passes)


def wanted(name: str) -> dict[str, Training]:
    """Every training of a table, one seed, by a name that tables share for a run that they share."""
    matrix = Matrix.of(name, Data(root="ROOT"), (0,), None)
    return {
        f"{node.digest} {training.name}": training for node, training in planned(matrix.nodes, matrix.check(in_process))
    }


def main() -> None:
    """Print a table of trainings, and one of the paper's tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=list(TABLES), metavar="TABLE")
    parser.add_argument("--tflops", type=float, default=10.0, help="assumed, of the GPU; default: 10")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    torch.set_num_threads(1)
    work: dict[str, Work] = {}
    total, runs, shared = defaultdict[str, float](float), Counter[str](), dict[str, float]()
    print(
        "| training | crop | TFLOP a step | CPU s a step | TFLOP a validation | GPU hours |", "|---" * 6 + "|", sep="\n"
    )
    with Probe("cpu") as probe:
        for name in args.tables:
            for run, training in wanted(name).items():
                fresh = training.key not in work
                if fresh:
                    work[training.key] = counted(probe, training)
                one = work[training.key]
                validation = one.frame * (FLOW_PAIRS if training.name == "flow" else VALIDATED[TABLES[name][0]])
                loop = training.config["loop"]
                tflop = loop["steps"] * one.step + loop["steps"] // loop["eval_every"] * validation
                total[name] += tflop
                runs[name] += 1
                shared[run] = tflop
                if fresh:
                    numbers = (
                        f"{one.step:.3g} | {one.seconds:.3g} | {validation:.3g} | {tflop / args.tflops / 3600:.1f}"
                    )
                    print(f"| {training.label}{one.passes} | {crop_of(training)} | {numbers} |", flush=True)
    print(f"\nat {args.tflops:g} TFLOP/s, one seed\n\n| table | trainings | EFLOP | GPU hours |\n|---|---|---|---|")
    total["together"], runs["together"] = sum(shared.values()), len(shared)
    for name in [*args.tables, "together"]:
        print(f"| {name} | {runs[name]} | {total[name] / 1e6:.3g} | {total[name] / args.tflops / 3600:,.0f} |")
        figures.add(f"table {name}", smaller={"EFLOP": total[name] / 1e6})
    figures.write(args.json)


if __name__ == "__main__":
    main()
