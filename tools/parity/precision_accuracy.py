"""Trains the same network in fp32 and bf16 with three seeds, and prints the accuracy of each.

    tools/parity/run precision-accuracy [--network resnet20] [--epochs 6]

The data are 5,000 images of MNIST, as the package mlxtend contains them: of each class 400 for
training and 100 for validation.
"""

import argparse
import csv
import gzip
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import mlxtend

ROOT = Path(__file__).resolve().parents[2]
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--network", default="resnet20")
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--seeds", type=int, default=3)
arguments = parser.parse_args()


def write(folder):
    rows = np.loadtxt(gzip.open(Path(mlxtend.__file__).parent / "data/data/mnist_5k.csv.gz"), delimiter=",")
    counts = {}
    for row in rows.astype(np.uint8):
        label = row[-1]
        count = counts[label] = counts.get(label, 0) + 1
        part = "train" if count <= 400 else "val"
        file = folder / part / str(label) / f"{count}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(row[:-1].reshape(28, 28)).save(file)
    return counts


def train(data, out, precision, seed):
    command = [
        ROOT / "resnet4j", "train", "-d", data, "-m", arguments.network, "-o", out, "--no-hflip",
        "--epochs", arguments.epochs, "--precision", precision, "--seed", seed,
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    with open(out / "metrics.csv") as file:
        return 100 * float(list(csv.DictReader(file))[-1]["val_accuracy"])


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    print(f"{sum(write(folder / 'mnist').values())} images")
    accuracies = {"fp32": [], "bf16": []}
    for seed in range(arguments.seeds):
        for precision, found in accuracies.items():
            found.append(train(folder / "mnist", folder / f"{precision}-{seed}", precision, seed))
            print(f"seed {seed}, {precision}: {found[-1]:.2f} % of the validation images", flush=True)
    for precision, found in accuracies.items():
        print(f"{precision}: mean {statistics.mean(found):.2f} %, deviation {statistics.stdev(found):.2f} %")
