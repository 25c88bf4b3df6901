"""Writes the catalogue of torchvision's published ResNet weights, and ImageNet's labels.

    pip install torch torchvision
    python tools/weights/catalogue.py

Everything comes from torchvision's own metadata; nothing is downloaded.
"""

import json
from pathlib import Path

import torchvision
from torchvision.models import get_model_weights
from torchvision.models._meta import _IMAGENET_CATEGORIES

MODELS = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2",
]  # fmt: skip


def entry(model, weights, is_default):
    transforms = weights.transforms()
    metrics = weights.meta["_metrics"]["ImageNet-1K"]
    file = weights.url.rsplit("/", 1)[1]
    return {
        "model": model,
        "name": weights.name,
        "default": is_default,
        "url": weights.url,
        "sha256_prefix": file.rsplit("-", 1)[1].removesuffix(".pth"),
        "megabytes": weights.meta["_file_size"],
        "classes": len(weights.meta["categories"]),
        "parameters": weights.meta["num_params"],
        "top1": metrics["acc@1"],
        "top5": metrics["acc@5"],
        "preprocessing": {
            "resize_size": transforms.resize_size[0],
            "crop_size": transforms.crop_size * 2,
            "interpolation": transforms.interpolation.value,
            "mean": transforms.mean,
            "std": transforms.std,
        },
    }


def main():
    out = Path(__file__).resolve().parents[2] / "core/src/main/resources/io/github/resnet4j"
    out.mkdir(parents=True, exist_ok=True)
    entries = []
    for model in MODELS:
        every = get_model_weights(model)
        entries += [entry(model, w, w == every.DEFAULT) for w in every]
    lines = ",\n".join("    " + json.dumps(e) for e in entries)
    source = f"torchvision {torchvision.__version__.split('+')[0]}"
    (out / "weights.json").write_text(
        f'{{\n  "source": {json.dumps(source)},\n  "weights": [\n{lines}\n  ]\n}}\n'
    )
    (out / "imagenet-1k.txt").write_text("\n".join(_IMAGENET_CATEGORIES) + "\n")
    print(f"{len(entries)} weights from {source}")


if __name__ == "__main__":
    main()
