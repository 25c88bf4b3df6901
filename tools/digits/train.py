"""Trains the embedded model: handwritten digits, a residual network of 8 layers.

The data is `sklearn.datasets.load_digits` (1,797 real digits of 8x8 pixels, BSD licence), the
split is fixed and stratified: 1,437 to train, 360 held out. Run it as

    pip install torch torchvision scikit-learn pillow numpy safetensors
    python tools/digits/train.py

and it writes the model into core's resources, the held-out digits into core's test resources and
a few of them as pictures into samples/.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision.models.resnet import BasicBlock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "parity"))
from networks import Network  # noqa: E402

CORE = ROOT / "core" / "src"
PICTURE, INPUT = 160, 32
MEAN, STD = 0.3, 0.35


def picture(digit):
    """8x8 values of 0 to 16 as a picture that a person can look at: white ink on black."""
    small = Image.fromarray(np.round(digit * (255 / 16)).astype(np.uint8), "L")
    return small.resize((PICTURE, PICTURE), Image.Resampling.BICUBIC).convert("RGB")


def network_input(image):
    small = image.resize((INPUT, INPUT), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255


def augment(x, rng):
    """Turn up to 12 degrees, scale and shear a little, shift, sometimes black ink on white."""
    n = len(x)

    def uniform(a, b):
        return torch.rand(n, generator=rng) * (b - a) + a

    angle, scale = uniform(-12, 12) * (math.pi / 180), uniform(0.85, 1.15)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = angle.cos() / scale, angle.cos() / scale
    theta[:, 0, 1] = -angle.sin() / scale + uniform(-0.12, 0.12)
    theta[:, 1, 0] = angle.sin() / scale
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-0.15, 0.15), uniform(-0.15, 0.15)
    x = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)
    contrast = uniform(0.7, 1.0)[:, None, None, None]
    x = x * contrast
    inverted = (torch.rand(n, generator=rng) < 0.4)[:, None, None, None]
    return torch.where(inverted, 1 - x, x)


def load():
    """The digits, and which of them are for training and which are held out."""
    data = load_digits()
    train, test = train_test_split(
        np.arange(len(data.target)), test_size=360, stratify=data.target, random_state=0
    )
    return data, train, test


def write_samples(data, train, test):
    """Of each digit the held-out one that is nearest to the mean of those in training."""
    samples = ROOT / "samples"
    samples.mkdir(exist_ok=True)
    for digit in range(10):
        mean = data.images[train[data.target[train] == digit]].mean(axis=0)
        held_out = test[data.target[test] == digit]
        distance = ((data.images[held_out] - mean) ** 2).sum(axis=(1, 2))
        typical = data.images[held_out[distance.argmin()]]
        picture(typical).save(samples / f"digit-{digit}.png", optimize=True)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    data, train, test = load()
    x = torch.stack([network_input(picture(d)) for d in data.images])
    y = torch.from_numpy(data.target)

    model = Network(BasicBlock, [1, 1, 1], channels=16, small_image=True, num_classes=10)
    epochs, batch = 80, 64
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = epochs * (len(train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.15, steps)
    rng = torch.Generator().manual_seed(1)
    for epoch in range(epochs):
        model.train()
        order = torch.from_numpy(train)[torch.randperm(len(train), generator=rng)]
        for i in range(len(train) // batch):
            index = order[i * batch : (i + 1) * batch]
            logits = model((augment(x[index], rng) - MEAN) / STD)
            loss = F.cross_entropy(logits, y[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)

    model.eval()
    with torch.no_grad():
        white = model((x[test] - MEAN) / STD)
        black = model((1 - x[test] - MEAN) / STD)
    right = int((white.argmax(1) == y[test]).sum())
    print(f"held out: {right} of {len(test)} right, {100 * right / len(test):.2f} %")
    print(f"inverted: {100 * (black.argmax(1) == y[test]).float().mean():.2f} %")

    state = model.state_dict()
    # An attribute of the OrderedDict: torch.load(weights_only=True) keeps it, load_state_dict
    # passes over it, and resnet4j reads from it what the tensors do not say.
    state.resnet4j = {
        "architecture": {
            "block": "basic",
            "blocks": [1, 1, 1],
            "channels": 16,
            "stem": "small_image",
            "numClasses": 10,
        },
        "preprocessing": {
            "resize_size": INPUT,
            "crop_size": [INPUT, INPUT],
            "interpolation": "bilinear",
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
        },
        "labels": [str(d) for d in range(10)],
        "name": "digits",
    }
    resources = CORE / "main" / "resources" / "io" / "github" / "resnet4j"
    resources.mkdir(parents=True, exist_ok=True)
    torch.save(state, resources / "digits.pth")

    golden = CORE / "test" / "resources" / "golden"
    golden.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "digits": torch.from_numpy(data.images[test]).to(torch.uint8),
            "labels": y[test].to(torch.uint8),
            "logits": white,
        },
        golden / "digits.safetensors",
    )
    write_samples(data, train, test)


if __name__ == "__main__":
    main()
