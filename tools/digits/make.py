"""Writes the embedded digits from scikit-learn, the samples, and the expected values for tests.

The data is `sklearn.datasets.load_digits` (1,797 real digits of 8x8 pixels, from the UCI repository,
CC BY 4.0), the split is fixed and stratified: 1,437 to train, 360 held out. The embedded model is
trained by resnet4j itself (docs/training.md); this writes the data set and, with PyTorch, the model's
logits on the held-out digits:

    pip install torch torchvision scikit-learn pillow numpy safetensors
    python tools/digits/make.py
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "parity"))
from networks import cifar  # noqa: E402

CORE = ROOT / "core" / "src"
IMAGE, INPUT = 160, 32


def image(digit):
    """Converts 8x8 values from 0 to 16 to a larger image: white on black."""
    small = Image.fromarray(np.round(digit * (255 / 16)).astype(np.uint8), "L")
    return small.resize((IMAGE, IMAGE), Image.Resampling.BICUBIC).convert("RGB")


def network_input(image):
    small = image.resize((INPUT, INPUT), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255


def load():
    """Returns the digits, and the indices for training and for the held-out set."""
    data = load_digits()
    train, test = train_test_split(
        np.arange(len(data.target)), test_size=360, stratify=data.target, random_state=0
    )
    return data, train, test


def write_samples(data, train, test):
    """Writes for each digit the held-out example closest to the mean of the training examples."""
    samples = ROOT / "samples"
    samples.mkdir(exist_ok=True)
    for digit in range(10):
        mean = data.images[train[data.target[train] == digit]].mean(axis=0)
        held_out = test[data.target[test] == digit]
        distance = ((data.images[held_out] - mean) ** 2).sum(axis=(1, 2))
        typical = data.images[held_out[distance.argmin()]]
        image(typical).save(samples / f"digit-{digit}.png", optimize=True)


def write_data(data, test):
    """Writes the embedded data set: held-out flag, label, 64 values from 0 to 16."""
    held_out = set(test.tolist())
    packed = struct.pack(">i", len(data.target))
    for i, (digit, label) in enumerate(zip(data.images, data.target)):
        packed += bytes([i in held_out, label]) + digit.astype(np.uint8).tobytes()
    folder = CORE / "main" / "resources" / "io" / "github" / "resnet4j" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits.gz").write_bytes(gzip.compress(packed, 9, mtime=0))


def write_golden(data, test):
    """Writes PyTorch's logits of the embedded model, trained by resnet4j, on the held-out digits."""
    state = torch.load(CORE / "main/resources/io/github/resnet4j/digits.pth", weights_only=True)
    notes = state.resnet4j["preprocessing"]
    model = cifar(1)
    model.load_state_dict(state)
    model.eval()
    x = torch.stack([network_input(image(d)) for d in data.images[test]])
    y = torch.from_numpy(data.target[test])
    mean = torch.tensor(notes["mean"])[:, None, None]
    std = torch.tensor(notes["std"])[:, None, None]
    with torch.no_grad():
        white = model((x - mean) / std)
        black = model((1 - x - mean) / std)
    correct = int((white.argmax(1) == y).sum())
    print(f"held out: {correct} of {len(test)} correct, {100 * correct / len(test):.2f} %")
    print(f"inverted: {100 * (black.argmax(1) == y).float().mean():.2f} %")
    golden = CORE / "test" / "resources" / "golden"
    golden.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "digits": torch.from_numpy(data.images[test]).to(torch.uint8),
            "labels": y.to(torch.uint8),
            "logits": white,
        },
        golden / "digits.safetensors",
    )


def main():
    data, train, test = load()
    write_data(data, test)
    write_samples(data, train, test)
    write_golden(data, test)


if __name__ == "__main__":
    main()
