"""Compares newly written golden files with the committed ones."""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

COMMITTED = Path(__file__).resolve().parents[2] / "core/src/test/resources/golden"
# The same program on another CPU sums in another order.
TOLERANCE = 1e-4


def close(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, float):
        return abs(a - b) <= TOLERANCE * max(1, abs(a))
    return a == b


def main():
    again = Path(sys.argv[1])
    different = []
    files = sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for file in files:
        now, then = again / file, COMMITTED / file
        if not then.exists():
            different.append(f"{file}: is not committed")
        elif file.suffix == ".safetensors":
            a, b = load_file(now), load_file(then)
            if a.keys() != b.keys():
                different.append(f"{file}: has other tensors")
            for key in a.keys() & b.keys():
                x, y = a[key].double().numpy(), b[key].double().numpy()
                error = np.abs(x - y).max(initial=0) / max(1, np.abs(y).max(initial=0))
                if error > TOLERANCE:
                    different.append(f"{file}: {key} differs by {error:.1e}")
        elif file.suffix == ".json":
            if not close(json.loads(now.read_text()), json.loads(then.read_text())):
                different.append(f"{file}: differs")
    print(f"golden files written again: {len(files)}, different: {len(different)}")
    for line in different:
        print("  " + line)
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
