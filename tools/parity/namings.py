"""Checkpoints with the names of other libraries and repositories: compares the resnet4j command with
the network that the file is from, and prints how many agree.

    tools/parity/run namings             compares logits, or feature maps of networks without a head
    tools/parity/run namings --golden    writes golden/namings.tsv.gz: the names, with torchvision's

Networks of transformers, mmpretrain, fastai and lightly are made with these libraries. Which of their
parameters is which of torchvision's follows from the order in which their layers run, and is checked: with
torchvision's values they must compute torchvision's logits. Repositories without a package are written as
torchvision's network with exactly their names.
"""

import argparse
import gzip
import pickle
import re
import sys
import tempfile
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
import transformers
from safetensors.torch import save_file
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
import live  # noqa: E402
from golden import randomise_batch_norm, seeded, seeded_input  # noqa: E402
from networks import cifar  # noqa: E402

GOLDEN = Path(__file__).parents[2] / "core/src/test/resources/golden"


def reference(name):
    if name == "resnet20":
        return seeded(lambda: cifar(3))
    if hasattr(torchvision.models, name):
        return seeded(lambda: getattr(torchvision.models, name)(num_classes=10))
    return seeded(lambda: timm.create_model(name, num_classes=10))


class Case:
    """A network under other names.

    ours: the network in our catalogue; names: torchvision's names by the file's, None for tensors that are
    left out; save: what torch.save writes, from the tensors; prepare: changes the values; headless: whether the head is left out.
    """

    def __init__(self, label, ours, names, extra=None, save=lambda tensors: tensors, headless=False,
                 prepare=lambda model: model):  # fmt: skip
        self.label, self.ours, self.names, self.extra = label, ours, names, extra or {}
        self.save, self.headless, self.prepare = save, headless, prepare

    def tensors(self, state):
        renamed = OrderedDict((theirs, state[ours]) for theirs, ours in self.names.items())
        renamed.update(self.extra)
        return renamed


def layers(model, x):
    """The names of a network's layers in the order in which they run."""
    order, hooks = [], []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)):
            hooks.append(module.register_forward_hook(lambda m, i, o, n=name: order.append(n)))
    with torch.no_grad():
        y = model(x)
    for hook in hooks:
        hook.remove()
    return order, y


def library(label, ours, model, output=lambda y: y, **options):
    """A case of a library's network; its names by execution order, checked with its output."""
    x = seeded_input(2, 3, 64, 64)
    first = randomise_batch_norm(reference(ours))
    model = model.eval()
    ours_order, want = layers(first, x)
    theirs_order, _ = layers(model, x)
    headless = len(theirs_order) == len(ours_order) - 1
    assert headless or len(theirs_order) == len(ours_order), (label, len(theirs_order), len(ours_order))
    modules = dict(zip(theirs_order, ours_order))
    names = OrderedDict()
    for name in model.state_dict():
        module, leaf = name.rsplit(".", 1)
        names[name] = f"{modules[module]}.{leaf}"
    state = first.state_dict()
    model.load_state_dict({theirs: state[name] for theirs, name in names.items()})
    with torch.no_grad():
        y = output(model(x))
    if headless:
        want = feature_map(first, x)
    error = float((y - want).abs().max() / want.abs().max())
    assert error < 1e-5, f"{label} does not compute what {ours} computes: {error}"
    return Case(label, ours, names, headless=headless, **options)


def feature_map(model, x):
    maps = []
    hook = model.layer4.register_forward_hook(lambda m, i, o: maps.append(o))
    with torch.no_grad():
        model(x)
    hook.remove()
    return maps[0]


def renamed(label, ours, rename, head=True, extra=None, **options):
    """A case with the names of torchvision's state dict replaced; an empty name is left out."""
    names = OrderedDict()
    for name in reference(ours).state_dict():
        if head or not name.startswith("fc."):
            theirs = rename(name)
            if theirs:
                names[theirs] = name
    return Case(label, ours, names, extra, headless=not head, **options)


def prefixed(prefix):
    return lambda name: prefix + name


def substituted(*pairs):
    def rename(name):
        for pattern, replacement in pairs:
            name = re.sub(pattern, replacement, name)
        return name

    return rename


def linear(name, outputs, inputs, bias=True):
    values = {f"{name}.weight": torch.zeros(outputs, inputs)}
    return values | ({f"{name}.bias": torch.zeros(outputs)} if bias else {})


def norm(name, channels):
    return {f"{name}.{part}": torch.ones(channels) for part in ("weight", "bias", "running_mean", "running_var")}


def self_supervised():
    names = list(reference("resnet50").state_dict())
    state = {k: v for k, v in reference("resnet50").state_dict().items() if not k.startswith("fc.")}
    assert names

    def copies(prefix):
        return {prefix + name: tensor for name, tensor in state.items()}

    def wrapped(tensors):
        return {"epoch": 200, "arch": "resnet50", "state_dict": tensors}

    queue = {"module.queue": torch.zeros(128, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    yield renamed("MoCo v1", "resnet50", prefixed("module.encoder_q."), head=False, save=wrapped, extra={
        **linear("module.encoder_q.fc", 128, 2048), **copies("module.encoder_k."),
        **linear("module.encoder_k.fc", 128, 2048), **queue})  # fmt: skip
    yield renamed("MoCo v2", "resnet50", prefixed("module.encoder_q."), head=False, save=wrapped, extra={
        **linear("module.encoder_q.fc.0", 2048, 2048), **linear("module.encoder_q.fc.2", 128, 2048),
        **copies("module.encoder_k."), **linear("module.encoder_k.fc.0", 2048, 2048),
        **linear("module.encoder_k.fc.2", 128, 2048), **queue})  # fmt: skip
    yield renamed("MoCo v3", "resnet50", prefixed("module.base_encoder."), head=False, save=wrapped, extra={
        **linear("module.base_encoder.fc.0", 4096, 2048, False), **norm("module.base_encoder.fc.1", 4096),
        **linear("module.base_encoder.fc.3", 256, 4096, False), **norm("module.base_encoder.fc.4", 256),
        **copies("module.momentum_encoder."), **linear("module.momentum_encoder.fc.0", 4096, 2048, False),
        **linear("module.predictor.0", 4096, 256, False), **norm("module.predictor.1", 4096)})  # fmt: skip
    yield renamed("SimSiam", "resnet50", prefixed("module.encoder."), head=False, save=wrapped, extra={
        **linear("module.encoder.fc.0", 2048, 2048, False), **norm("module.encoder.fc.1", 2048),
        **linear("module.encoder.fc.6", 2048, 2048), **norm("module.encoder.fc.7", 2048),
        **linear("module.predictor.0", 512, 2048, False), **norm("module.predictor.1", 512),
        **linear("module.predictor.3", 2048, 512)})  # fmt: skip
    yield renamed("SwAV", "resnet50", prefixed("module."), head=False, extra={
        **linear("module.projection_head.0", 2048, 2048), **norm("module.projection_head.1", 2048),
        **linear("module.projection_head.3", 128, 2048), **linear("module.prototypes", 3000, 128, False)})  # fmt: skip
    yield renamed("BarlowTwins", "resnet50", prefixed("module.backbone."), head=False,
                  save=lambda tensors: {"epoch": 1, "model": tensors}, extra={
        **linear("module.projector.0", 8192, 2048, False), **norm("module.projector.1", 8192),
        **linear("module.projector.6", 8192, 8192, False),
        "module.bn.running_mean": torch.zeros(8192), "module.bn.running_var": torch.ones(8192)})  # fmt: skip
    head = {**linear("module.head.mlp.0", 2048, 2048), **linear("module.head.mlp.2", 256, 2048),
            "module.head.last_layer.weight_g": torch.ones(64, 1),
            "module.head.last_layer.weight_v": torch.ones(64, 256)}  # fmt: skip
    yield renamed("DINO", "resnet50", prefixed("module.backbone."), head=False, extra=head,
                  save=lambda tensors: {"student": {k: v + 1 for k, v in tensors.items()}, "teacher": tensors, "epoch": 100})  # fmt: skip
    yield renamed("DINO without head", "resnet50", prefixed(""), head=False)


def cases():
    yield renamed("CIFAR: ResNet-20, option A", "resnet20", substituted(("^fc", "module.linear"), ("^(conv|bn|layer)", r"module.\1")),
                  save=lambda tensors: {"state_dict": tensors, "best_prec1": 91.7})  # fmt: skip
    yield renamed("CIFAR: ResNet-18", "resnet18", substituted(("^fc", "linear"), ("downsample", "shortcut")),
                  save=lambda tensors: {"net": tensors, "acc": 95.1, "epoch": 199})  # fmt: skip
    numbers = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}
    for ours in ("resnet18", "resnet50"):
        yield renamed(f"CIFAR-100: {ours}", ours, substituted(
            (r"^conv1", "conv1.0"), ("^bn1", "conv1.1"), ("downsample", "shortcut"),
            (r"^layer(\d\.\d+)\.((?:conv|bn)\d)", lambda m: f"layer{m[1]}.residual_function.{numbers[m[2]]}"),
            (r"^layer(\d)", lambda m: f"conv{int(m[1]) + 1}_x")))  # fmt: skip
    for ours, kind, sizes, depths in (
        ("resnet18", "basic", [64, 128, 256, 512], [2, 2, 2, 2]),
        ("resnet50", "bottleneck", [256, 512, 1024, 2048], [3, 4, 6, 3]),
    ):
        config = transformers.ResNetConfig(depths=depths, layer_type=kind, hidden_sizes=sizes, num_labels=10)
        yield library(f"Hugging Face: {ours}", ours, transformers.ResNetForImageClassification(config), lambda y: y.logits)
        yield library(f"Hugging Face: {ours} without head", ours, transformers.ResNetModel(config), lambda y: y.last_hidden_state)
    d2 = (("^(conv1|bn1|fc)", r"stem.\1"), (r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}"), (r"bn(\d)", r"conv\1.norm"),
          (r"downsample\.0", "shortcut"), (r"downsample\.1", "shortcut.norm"))  # fmt: skip
    yield renamed("detectron2, converted from torchvision", "resnet50", substituted(*d2),
                  save=lambda tensors: {"model": {k: v.numpy() for k, v in tensors.items() if "tracked" not in k},
                                        "__author__": "third_party", "matching_heuristics": True})  # fmt: skip
    yield renamed("Caffe2", "resnet50", caffe2, prepare=without_statistics,
                  save=lambda tensors: {"blobs": {k: v.numpy() for k, v in tensors.items()}, "cfg": ""})  # fmt: skip
    yield renamed("torchvision in an nn.Sequential", "resnet18", substituted(*(
        (f"^{name}", str(i)) for i, name in enumerate(("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "pool", "fc")))))  # fmt: skip
    yield renamed("Lightning: self.net", "resnet18", prefixed("net."), extra={"criterion.weight": torch.ones(10)},
                  save=lambda tensors: {"epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.6.6", "state_dict": tensors, "loops": {}})  # fmt: skip
    yield renamed("Lightning: self.model.resnet", "resnet50", prefixed("model.resnet."),
                  extra={"criterion.weight": torch.ones(10), "val_accuracy.tp": torch.zeros(10)},
                  save=lambda tensors: {"state_dict": tensors})  # fmt: skip
    yield renamed("Lightning: backbone and classifier", "resnet18",
                  lambda n: n.replace("fc.", "classifier.") if n.startswith("fc.") else "backbone." + n)  # fmt: skip
    yield renamed("a replaced head, Sequential(Dropout, Linear)", "resnet18", substituted(("^fc", "fc.1")))
    yield renamed("a head of two layers", "resnet18", prefixed(""), head=False, extra=linear("fc.0", 64, 512) | linear("fc.3", 5, 64))
    yield renamed("names of nobody", "resnet18", substituted(
        ("^fc", "out"), ("layer", "stage"), ("downsample.0", "skip.c"), ("downsample.1", "skip.n"), (r"conv(\d)", r"c\1"), (r"bn(\d)", r"n\1")))  # fmt: skip
    yield renamed("names of nobody, bottlenecks", "resnet50", substituted(
        ("^fc", "out"), ("layer", "stage"), ("downsample.0", "skip.c"), ("downsample.1", "skip.n"), (r"conv(\d)", r"c\1"), (r"bn(\d)", r"n\1")))  # fmt: skip
    count = iter(range(1000))
    yield renamed("numbers", "resnet18", lambda name: f"t{next(count)}")
    yield from self_supervised()
    yield from others()


def others():
    """The libraries of requirements-namings.txt."""
    from fastai.vision.learner import create_vision_model
    from fastai.vision.models import xresnet
    from lightly.models.modules import SimCLRProjectionHead
    from mmpretrain.models import ImageClassifier, ResNet_CIFAR, ResNetV1c, ResNetV1d, SEResNet
    from mmpretrain.models import ResNet as MmResNet

    class Mm(nn.Module):
        def __init__(self, backbone, channels):
            super().__init__()
            self.backbone = backbone
            self.head = nn.Module()
            self.head.fc = nn.Linear(channels, 10)

        def forward(self, x):
            return self.head.fc(self.backbone(x)[-1].mean((2, 3)))

    assert ImageClassifier
    for label, ours, backbone, channels in (
        ("ResNet-18", "resnet18", MmResNet(depth=18), 512),
        ("ResNet-50", "resnet50", MmResNet(depth=50, style="pytorch"), 2048),
        ("ResNetV1c-50", "resnet50c", ResNetV1c(depth=50), 2048),
        ("ResNetV1d-50", "resnet50d", ResNetV1d(depth=50), 2048),
        ("SEResNet-50", "seresnet50", SEResNet(depth=50), 2048),
    ):
        yield library(f"mmpretrain: {label}", ours, Mm(backbone, channels),
                      save=lambda tensors: {"meta": {"epoch": 100, "mmpretrain_version": "1.2.0"}, "state_dict": tensors})  # fmt: skip
    assert ResNet_CIFAR
    for name, ours in (("xresnet18", "resnet18d"), ("xresnet50", "resnet50d")):
        yield library(f"fastai: {name}", ours, getattr(xresnet, name)(n_out=10), save=lambda tensors: {"model": tensors, "opt": {}})
    model = create_vision_model(torchvision.models.resnet18, 5, pretrained=False).eval()
    body = [name for name in model.state_dict() if name.startswith("0.")]
    ours = [name for name in reference("resnet18").state_dict() if not name.startswith("fc.")]
    assert len(body) == len(ours)
    extra = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("1.")}
    yield Case("fastai: resnet18 with fastai's head", "resnet18", OrderedDict(zip(body, ours)), extra, headless=True,
               save=lambda tensors: {"model": tensors, "opt": {}})  # fmt: skip
    backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
    head = SimCLRProjectionHead(512, 512, 128)
    body = ["backbone." + name for name in backbone.state_dict()]
    extra = {"projection_head." + name: tensor for name, tensor in head.state_dict().items()}
    yield Case("lightly: SimCLR", "resnet18", OrderedDict(zip(body, ours)), extra, headless=True,
               save=lambda tensors: {"state_dict": tensors})  # fmt: skip


def caffe2(name):
    """The name of a Caffe2 blob; empty for statistics, which are folded into scale and bias there."""
    if name.endswith(("running_mean", "running_var", "tracked")):
        return ""
    name = re.sub(r"^layer(\d)\.(\d+)\.", lambda m: f"res{int(m[1]) + 1}_{m[2]}_", name)
    name = name.replace("downsample.0", "branch1").replace("downsample.1", "branch1_bn")
    name = re.sub(r"_conv([123])\.", lambda m: f"_branch2{'abc'[int(m[1]) - 1]}.", name)
    name = re.sub(r"_bn([123])\.", lambda m: f"_branch2{'abc'[int(m[1]) - 1]}_bn.", name)
    name = name.replace("bn1.", "res_conv1_bn.").replace("fc.", "fc1000.")
    module, leaf = name.rsplit(".", 1)
    return module + {"weight": "_s" if "_bn" in module else "_w", "bias": "_b"}[leaf]


def without_statistics(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
    return model


def write_golden():
    lines = []
    for case in cases():
        pairs = [f"{theirs}={ours}" for theirs, ours in case.names.items()]
        pairs += [f"{name}=-{tensor.dim()}" for name, tensor in case.extra.items()]
        lines.append("\t".join([case.label, case.ours, "headless" if case.headless else "head", *pairs]))
    text = "".join(line + "\n" for line in lines).encode()
    (GOLDEN / "namings.tsv.gz").write_bytes(gzip.compress(text, mtime=0))
    print(f"{len(lines)} namings written")


def compare(folder, case, file):
    model = case.prepare(randomise_batch_norm(reference(case.ours)))
    x = seeded_input(2, 3, 64, 64)
    np.save(folder / "x.npy", x.numpy())
    live.resnet4j("forward", "--weights", file, "--input", folder / "x.npy", "--output", folder / "y.npy")
    with torch.no_grad():
        want = feature_map(model, x) if case.headless else model(x)
    ours = np.load(folder / "y.npy")
    error = live.relative(ours, want.numpy()) if ours.shape == tuple(want.shape) else float("inf")
    live.report(f"{case.label}, {file.suffix}", f"relative error {error:.1e}", error <= 1e-4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    if arguments.golden:
        write_golden()
        return
    count = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in cases():
            tensors = case.tensors(case.prepare(randomise_batch_norm(reference(case.ours))).state_dict())
            torch.save(case.save(tensors), folder / "m.pth")
            save_file({k: v.clone() for k, v in tensors.items()}, folder / "m.safetensors")
            files = ["m.pth", "m.safetensors"]
            if case.label.startswith(("Caffe2", "detectron2")):
                (folder / "m.pkl").write_bytes(pickle.dumps(case.save(tensors)))
                files.append("m.pkl")
            for file in files:
                compare(folder, case, folder / file)
            count += len(files)
    print(f"{count - len(live.FAILURES)} of {count} files agree")
    sys.exit(bool(live.FAILURES))


if __name__ == "__main__":
    main()
