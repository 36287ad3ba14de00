"""One IFR training step, beside six bare forward and backward passes of the same network.

    python benchmarks/ifr_step.py [--threads 1] [--backbone resnet18] [--size 128 256] [--batch 2] [--rounds 9]

IFR takes six views through the network, so six bare passes are the least it can cost; what stands above 1 in the
ratio is prototypes, reconstruction, five cross entropies and the longer graph. Rounds alternate between both, so that
a busy machine slows both; medians are compared (target: at most 1.05). Processor time, which other programs disturb
less than wall time, stands beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from figures import Figures

from ifrkit.config.network import NetworkConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.machine import reuse_memory
from ifrkit.data.loading.batch import Batch
from ifrkit.methods.ifr import Method
from ifrkit.models.network import Network, build_network
from ifrkit.train.chosen import merged_views
from ifrkit.train.stage_one import BranchLosses

CLASSES = 19


def make_batch(names: list[str], batch: int, size: tuple[int, int]) -> Batch:
    """Random views and a label of small cells, so that many classes are there."""
    rng = torch.Generator().manual_seed(0)
    views = {name: torch.randn(batch, 3, *size, generator=rng) for name in names}
    cells = torch.randint(CLASSES, (batch, size[0] // 16, size[1] // 16), generator=rng)
    return Batch(views, {"v0_0": cells.repeat_interleave(16, 1).repeat_interleave(16, 2)})


def bare_passes(network: Network, batch: Batch) -> None:
    """Every view once through the network and back, with the cheapest loss there is."""
    for images_b3hw in batch.views.values():
        torch.autograd.backward(network(images_b3hw).mean())


def ifr_step(losses: BranchLosses, batch: Batch) -> None:
    """What the training loop does in a step, without the optimizer."""
    terms = losses(batch, 10_000)
    torch.autograd.backward(torch.stack(list(terms.values())).sum())


def seconds(step: Callable[[], None], network: Network) -> tuple[float, float]:
    """Wall and processor time of a step that starts without gradients."""
    network.zero_grad()
    wall, processor = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, nargs=2, default=(128, 256), metavar=("H", "W"), help="multiples of 16")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9, help="one more round warms up")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    reuse_memory()
    torch.set_num_threads(args.threads)
    network = build_network(NetworkConfig(backbone=args.backbone), CLASSES, seed=0).train()
    methods = {"ifr": Method(Method.Config())}
    losses = BranchLosses(network, methods, TrainBranchesConfig())
    batch = make_batch([view.name for view in merged_views(methods)], args.batch, (args.size[0], args.size[1]))
    variants: dict[str, Callable[[], None]] = {
        "bare": lambda: bare_passes(network, batch),
        "ifr": lambda: ifr_step(losses, batch),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for index in range(args.rounds + 1):
        for name in sorted(variants, reverse=index % 2 == 0):
            times[name].append(seconds(variants[name], network))
    print(f"torch {torch.__version__}, {args.threads} threads, {args.backbone}, "
          f"{len(batch.views)} views of {args.batch}x{args.size[0]}x{args.size[1]}, {args.rounds} rounds")  # fmt: skip
    for clock, title in enumerate(("wall", "processor")):
        bare, ifr = (statistics.median(t[clock] for t in times[name][1:]) for name in ("bare", "ifr"))
        print(f"{title:9}  bare passes {bare * 1e3:8.1f} ms   IFR step {ifr * 1e3:8.1f} ms   ratio {ifr / bare:.3f}")
        figures.add(f"IFR step, {title} time", smaller={"ms": ifr * 1e3, "over bare passes": ifr / bare})
    figures.write(args.json)


if __name__ == "__main__":
    main()
