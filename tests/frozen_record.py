"""A record of what the program computes, to be made before and compared after a change that must not alter it.

    python tests/frozen_record.py make RECORD.json [--trees DIR] [--only PART]...
    python tests/frozen_record.py compare RECORD.json [--trees DIR] [--only PART]...

`make` runs every stage at a tiny size through `python -m ifrkit`, with one thread and fixed seeds, and writes a line
for each result: a sha256 of tensors, pixels or arrays, or the number itself. `compare` does so again, prints each line
that is another one, and exits with 1 if there is any. --trees: the input files (toy datasets, label exports, videos).
They are made there if DIR is missing, else read as they are, so that both runs see the same ones. Ids, paths and times
are left out. The parts `flags` and `config` hold what the command line says of itself, the others what it computes.

Weights depend on the processor, so a record is good for one machine: `compare` refuses it on another (exit code 2).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # the code beside this script, whatever is installed
sys.path.insert(1, str(Path(__file__).resolve().parent / "helpers"))

from frozen_contents import Values  # noqa: E402
from frozen_forks import ROOT, forked  # noqa: E402
from frozen_inputs import make_trees  # noqa: E402
from frozen_parts import PARTS, Bench  # noqa: E402

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def machine() -> dict[str, str]:
    """What the bits of a result may depend on beside the code."""
    import cv2
    import numpy as np
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": importlib.metadata.version("pillow"),
    }


def measure(trees: Path | None, only: list[str]) -> Values:
    """Every value of these parts, by PART/JOB/KEY. A job that fails is a value, too."""
    values: Values = {}
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory).resolve()
        trees = (trees or work / "trees").resolve()
        if not trees.exists():
            print(f"make the input files in {trees}")
            forked(partial(make_trees, trees), work)
        os.environ["IFRKIT_WORKSPACE"] = str(work / "workspace")
        bench = Bench(work, trees)
        jobs = [(f"{part}/{name}".rstrip("/"), job) for part in only for name, job in PARTS[part](bench)]
        for number, (name, job) in enumerate(jobs, start=1):
            begin = time.monotonic()
            try:
                values |= {f"{name}/{key}": value for key, value in job().items()}
                fault = ""
            except (RuntimeError, OSError, ValueError, KeyError) as error:
                values[f"{name}/FAILED"], fault = str(error), f"FAILED: {error}"
            print(f"[{number}/{len(jobs)}] {name} {time.monotonic() - begin:.1f} s {fault}", flush=True)
    return values


def differences(before: Values, after: Values) -> list[str]:
    """A line for each value that is another one, or only in one of them."""
    lines = []
    for key in sorted({*before, *after}):
        old, new = (json.dumps(side[key], sort_keys=True) if key in side else "(none)" for side in (before, after))
        if old != new:
            lines.append(f"{key}\n    before {old}\n    after  {new}")
    return lines


def main() -> int:
    """0: as recorded, 1: something differs or failed, 2: the record is of another machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["make", "compare"])
    parser.add_argument("record", type=Path)
    parser.add_argument("--trees", type=Path, metavar="DIR", help="input files; made there if it is missing")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    given = parser.parse_args()
    here = machine()
    before = json.loads(given.record.read_text()) if given.what == "compare" else {"machine": here}
    if before["machine"] != here:
        print(f"the record is of another machine: {before['machine']}, not {here}")
        return 2
    recorded = [part for part in PARTS if any(key.startswith(f"{part}/") for key in before.get("values", {}))]
    only, begin = given.only or recorded or list(PARTS), time.monotonic()
    values = measure(given.trees, only)
    print(f"{len(values)} values in {time.monotonic() - begin:.0f} s")
    if given.what == "make":
        given.record.write_text(json.dumps({"machine": here, "values": values}, indent=1, sort_keys=True) + "\n")
        return int(any(key.endswith("/FAILED") for key in values))
    old = {key: value for key, value in before["values"].items() if key.partition("/")[0] in only}
    found = differences(old, values)
    print(*found, f"{len(found)} of {len({*values, *old})} values differ", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    for _name in [name for name in os.environ if name.startswith("IFRKIT_") or name in {"RANK", "WORLD_SIZE"}]:
        del os.environ[_name]
    os.environ.update(ONE_THREAD, PYTHONPATH=str(ROOT))
    sys.path[0] = str(ROOT)
    for _name in ("torch", "torch._dynamo", "numpy", "h5py", "cv2", "PIL.Image"):
        importlib.import_module(_name)
    sys.exit(main())
