"""Compares the resnet4j command with PyTorch and prints the differences.

    tools/parity/run live [--quick]

Compares every network of torchvision at 224x224 with weights written by torch.save; converted files,
loaded by torch.load(weights_only=True) and safetensors; images with torchvision's loader and transforms;
checkpoints of timm and transformers.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage
import timm
import torch
import torchvision
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
from golden import CIFAR, TORCHVISION, cifar, draw, randomise_batch_norm, seeded, seeded_input, timm_maps, torchvision_maps  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
FAILURES = []


def resnet4j(*arguments):
    command = [str(ROOT / "resnet4j"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def report(what, value, good):
    print(f"{'ok  ' if good else 'FAIL'} {what:<52} {value}", flush=True)
    if not good:
        FAILURES.append(what)


def relative(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def top5(logits):
    return np.argsort(-logits, axis=1, kind="stable")[:, :5]


def same_logits(what, ours, theirs):
    error = relative(ours, theirs)
    agree = bool((top5(ours) == top5(theirs)).all())
    report(what, f"relative error {error:.1e}, top-5 {'equal' if agree else 'differ'}",
           error <= 1e-4 and agree)  # fmt: skip


def forward(folder, model, x, weights=None, seed=None):
    np.save(folder / "x.npy", x.numpy())
    source = ["--weights", weights] if weights else ["--seed", seed]
    resnet4j("forward", "--model", model, *source, "--input", folder / "x.npy",
             "--output", folder / "y.npy")  # fmt: skip
    return np.load(folder / "y.npy")


def networks(folder, quick):
    names = ["resnet18", "resnet50"] if quick else TORCHVISION
    for name in names:
        model = randomise_batch_norm(seeded(getattr(torchvision.models, name)))
        x = seeded_input(2, 3, 224, 224)
        torch.save(model.state_dict(), folder / "m.pth")
        with torch.no_grad():
            same_logits(f"{name}, 224x224, .pth", forward(folder, name, x, folder / "m.pth"), model(x).numpy())  # fmt: skip
    for name in ("resnet18", "resnext50_32x4d"):
        model = seeded(getattr(torchvision.models, name), seed=5).eval()
        x = seeded_input(1, 3, 97, 130)
        with torch.no_grad():
            same_logits(f"{name}, torch.manual_seed(5)", forward(folder, name, x, seed=5), model(x).numpy())  # fmt: skip
    for name, n in list(CIFAR.items())[: 1 if quick else None]:
        model = seeded(lambda n=n: cifar(n)).eval()
        x = seeded_input(4, 3, 32, 32)
        with torch.no_grad():
            same_logits(f"{name}, torch.manual_seed(0)", forward(folder, name, x, seed=0), model(x).numpy())  # fmt: skip


def conversions(folder):
    model = randomise_batch_norm(seeded(torchvision.models.resnet18))
    state = model.state_dict()
    torch.save({"state_dict": state, "epoch": 1}, folder / "m.pth")
    resnet4j("convert", folder / "m.pth", folder / "m.safetensors")
    resnet4j("convert", folder / "m.safetensors", folder / "n.pth")
    resnet4j("convert", folder / "m.pth", folder / "h.pth", "--precision", "bf16")
    for name, loaded in {
        ".pth, torch.load(weights_only=True)": torch.load(folder / "n.pth", weights_only=True),
        ".pth, torch.load(mmap=True)": torch.load(folder / "n.pth", mmap=True, weights_only=True),
        ".safetensors, safetensors.torch": load_file(folder / "m.safetensors"),
    }.items():
        equal = loaded.keys() == state.keys() and all(
            torch.equal(loaded[k], v) and loaded[k].dtype == v.dtype for k, v in state.items()
        )
        torchvision.models.resnet18().load_state_dict(loaded)
        report(f"written {name}", "every bit equal" if equal else "differs", equal)
    half = torch.load(folder / "h.pth", weights_only=True)
    equal = all(torch.equal(half[k], v.bfloat16() if v.is_floating_point() else v) for k, v in state.items())  # fmt: skip
    report("rounded to bfloat16 as PyTorch rounds", "every bit equal" if equal else "differs", equal)


def libraries(folder):
    model = timm.create_model("resnet50", num_classes=1000).eval()
    randomise_batch_norm(model)
    save_file(model.state_dict(), folder / "timm.safetensors")
    x = seeded_input(1, 3, 224, 224)
    with torch.no_grad():
        same_logits("timm resnet50, .safetensors", forward(folder, "resnet50", x, folder / "timm.safetensors"), model(x).numpy())  # fmt: skip
    for depths, kind, name in [
        ([2, 2, 2, 2], "basic", "resnet18"),
        ([3, 4, 6, 3], "basic", "resnet34"),
        ([3, 4, 6, 3], "bottleneck", "resnet50"),
        ([3, 4, 23, 3], "bottleneck", "resnet101"),
        ([3, 8, 36, 3], "bottleneck", "resnet152"),
    ]:
        sizes = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
        config = transformers.ResNetConfig(
            depths=depths, layer_type=kind, hidden_sizes=sizes, num_labels=1000
        )
        model = randomise_batch_norm(
            seeded(lambda c=config: transformers.ResNetForImageClassification(c))
        )
        model.save_pretrained(folder / "hf")
        torch.save(model.state_dict(), folder / "hf/pytorch_model.bin")
        with torch.no_grad():
            y = model(x).logits.numpy()
        for file in ("model.safetensors", "pytorch_model.bin"):
            same_logits(f"transformers {name}, {file}", forward(folder, name, x, folder / "hf" / file), y)


def calm(model):
    """Scales down the branches: otherwise gates saturate at 0 and 1, and rounding errors grow."""
    with torch.no_grad():
        for block in model.modules():
            if hasattr(block, "downsample"):
                norms = [n for n in ("bn3", "bn2", "norm3", "norm2") if hasattr(block, n)]
                getattr(block, norms[0]).weight.mul_(0.2)
    return model


def relatives(folder, quick):
    """timm's networks with random weights, in timm's own files."""
    known = [json.loads(line)["model"] for line in resnet4j("models", "--format", "json").splitlines()]
    theirs = timm.list_models(module="resnet") + timm.list_models(module="resnetv2")
    names = [each for each in known if each in theirs]
    few = ["resnet50d", "seresnet50", "ecaresnet50d", "resnetblur50", "resnetrs50", "resnetv2_50", "resnetv2_50x1_bit"]
    for name in few if quick else names:
        model = calm(draw(timm.create_model(name))).eval()
        x = seeded_input(1, 3, 160, 160)
        save_file(model.state_dict(), folder / "timm.safetensors")
        with torch.no_grad():
            same_logits(f"timm {name}, 160x160", forward(folder, name, x, folder / "timm.safetensors"), model(x).numpy())  # fmt: skip


def maps(folder, what, name, stride, model, wanted):
    """The feature maps of a backbone by layer, in one call."""
    x = seeded_input(1, 3, 129, 97)
    save_file(model.state_dict(), folder / "backbone.safetensors")
    np.save(folder / "x.npy", x.numpy())
    with torch.no_grad():
        wanted = {"relu" if layer == "act1" else layer: y.numpy() for layer, y in wanted(x).items()}
    resnet4j("forward", "--model", name, "--weights", folder / "backbone.safetensors", "--output-stride", stride,
             "--layer", ",".join(wanted), "--input", folder / "x.npy", "--output", folder / "y.safetensors")  # fmt: skip
    found = load_file(folder / "y.safetensors")
    error = max(relative(found[layer].numpy(), y) for layer, y in wanted.items())
    report(f"{what} {name}, output stride {stride}", f"{len(wanted)} maps, relative error {error:.1e}",
           found.keys() == wanted.keys() and error <= 1e-4)  # fmt: skip


def backbones(folder, quick):
    """timm's features_only with output_stride, torchvision's IntermediateLayerGetter with dilation."""
    known = [json.loads(line)["model"] for line in resnet4j("models", "--format", "json").splitlines()]
    names = [each for each in known if each in timm.list_models(module="resnet*") and each != "test_resnet"]
    for i, name in enumerate(["resnet34", "resnet50d", "resnetv2_50"] if quick else names):
        stride = 8 if i % 2 == 0 else 16
        model = calm(draw(timm.create_model(name, output_stride=stride))).eval()
        maps(folder, "timm", name, stride, model, timm_maps(model, name, output_stride=stride))
    for name in ["resnet50"] if quick else [name for name in TORCHVISION if name not in ("resnet18", "resnet34")]:
        build = getattr(torchvision.models, name)
        model = calm(draw(build(replace_stride_with_dilation=[False, True, True]))).eval()
        maps(folder, "torchvision", name, 8, model, torchvision_maps(model))


def images(folder):
    """Complete classifications with torchvision's loader, transforms and network."""
    model = randomise_batch_norm(seeded(torchvision.models.resnet18))
    torch.save(model.state_dict(), folder / "resnet18-images.pth")
    data = Path(skimage.__file__).parent / "data"
    files = [p for n in ("astronaut", "chelsea", "coffee") for p in data.glob(n + ".png")]
    for i, size in enumerate([(640, 480), (375, 500), (1200, 300), (300, 900), (224, 224)]):
        source = Image.open(files[i % len(files)]).convert("RGB").resize(size)
        file = folder / f"image-{i}.jpg"
        source.save(file, quality=80 + i, progressive=i % 2 == 1)
        files.append(file)
    for preset, weights in {
        "V1": torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
        "V2": torchvision.models.ResNet50_Weights.IMAGENET1K_V2,
    }.items():
        transform = weights.transforms()
        fields = {"resize_size": transform.resize_size[0], "crop_size": transform.crop_size[0]}
        (folder / "p.json").write_text(json.dumps(fields))
        lines = resnet4j("classify", "--model", "resnet18", "--weights",
                         folder / "resnet18-images.pth", "--preprocessing", folder / "p.json",
                         "--format", "json", *files).splitlines()  # fmt: skip
        worst, agree = 0.0, True
        for file, line in zip(files, lines, strict=True):
            with torch.no_grad():
                p = model(transform(Image.open(file).convert("RGB"))[None]).softmax(1)[0]
            values, indices = p.topk(5)
            ours = json.loads(line)["predictions"]
            agree &= [q["index"] for q in ours] == indices.tolist()
            worst = max(worst, max(abs(q["probability"] - v) for q, v in zip(ours, values.tolist())))
        report(f"classify, {len(files)} images, preset {preset}",
               f"top-5 {'equal' if agree else 'differ'}, probabilities within {worst:.1e}",
               agree and worst <= 1e-4)  # fmt: skip


def embedded():
    digits = [ROOT / "samples" / f"digit-{d}.png" for d in range(10)]
    lines = resnet4j("classify", "--top", 1, "--format", "json", *digits).splitlines()
    right = [json.loads(line)["predictions"][0]["index"] for line in lines] == list(range(10))
    report("the embedded model on its samples", "all right" if right else "wrong", right)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="two networks only")
    arguments = parser.parse_args()
    packages = (torch, torchvision, timm, transformers)
    print("compared with",  ", ".join(f"{p.__name__} {p.__version__}" for p in packages), flush=True)
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        embedded()
        conversions(Path(folder))
        libraries(Path(folder))
        images(Path(folder))
        networks(Path(folder), arguments.quick)
        relatives(Path(folder), arguments.quick)
        backbones(Path(folder), arguments.quick)
    print(f"{len(FAILURES)} comparisons failed" if FAILURES else "all comparisons agree")
    sys.exit(bool(FAILURES))


if __name__ == "__main__":
    main()
