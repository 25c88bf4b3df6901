"""Writes the golden files that the Java tests compare with.

    tools/parity/run golden

Every expected value comes from PyTorch, torchvision, timm, transformers or Pillow; the versions
are recorded in golden/versions.json. Random numbers are seeded, so a second run with the same
versions writes the same values.
"""

import argparse
import hashlib
import io
import json
import pickle
import struct
import sys
import types
import zipfile
import zlib
from collections import OrderedDict
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import PIL
import skimage
import timm
import torch
import torchvision
import transformers
from fvcore.nn import FlopCountAnalysis
from PIL import Image, ImageOps
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

sys.path.insert(0, str(Path(__file__).parent))
from networks import Network, cifar  # noqa: E402

TORCHVISION = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2",
]  # fmt: skip
CIFAR = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}


def versions():
    packages = [torch, torchvision, timm, transformers, PIL, np, skimage]
    found = {p.__name__: p.__version__.split("+")[0] for p in packages}
    return found | {name: metadata.version(name) for name in ("fvcore", "grad-cam")}


def randomise_batch_norm(model, seed=1):
    """Sets statistics as after some training; the Java tests generate the same values."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.weight.uniform_(0.5, 1.5)
                m.bias.normal_(0, 0.1)
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
    return model.eval()


def seeded(build, seed=0):
    torch.manual_seed(seed)
    return build()


def seeded_input(*shape, seed=2):
    torch.manual_seed(seed)
    return torch.randn(*shape)


# Random numbers and initial weights.


def random_numbers(out):
    cases = {}
    for seed in (0, 1, 42, 2**31 + 5, -3):
        for n in (1, 5, 15, 16, 17, 33, 40):
            torch.manual_seed(seed)
            cases[f"rand/{seed}/{n}"] = torch.rand(n)
            torch.manual_seed(seed)
            cases[f"randn/{seed}/{n}"] = torch.randn(n)
    torch.manual_seed(7)
    cases["sequence"] = torch.cat(
        [torch.randn(3), torch.rand(2), torch.randn(20), torch.randn(2), torch.rand(700)]
    )
    save_file(cases, out / "random.safetensors")


def initial_weights(out):
    builds = {
        "resnet18": lambda: torchvision.models.resnet18(),
        "resnet50": lambda: torchvision.models.resnet50(),
        "resnext50_32x4d": lambda: torchvision.models.resnext50_32x4d(),
        "resnet20": lambda: cifar(3),
        "resnet50 zero-init": lambda: torchvision.models.resnet50(zero_init_residual=True),
    }
    result = {}
    for name, build in builds.items():
        state = seeded(build).state_dict()
        result[name] = {
            key: {
                "shape": list(value.shape),
                "first": value.flatten()[:3].tolist(),
                "last": value.flatten()[-3:].tolist(),
                "sum": value.double().sum().item(),
                "abs_sum": value.double().abs().sum().item(),
            }
            for key, value in state.items()
        }
    (out / "initial.json").write_text(compact(result))


def compact(cases):
    """JSON with one line per entry, so that diffs are readable."""
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in cases.items())
    return "{\n" + lines + "\n}\n"


# Logits.


def logit_cases():
    """Name, architecture in the Java tests' terms, PyTorch's builder, shape of the input."""
    for name in TORCHVISION:
        build = getattr(torchvision.models, name)
        yield f"{name} 64", {"model": name}, build, (2, 3, 64, 64)
        if name in ("resnet18", "resnet34", "resnet50", "resnext50_32x4d"):
            yield f"{name} 224", {"model": name}, build, (1, 3, 224, 224)
    for name, n in CIFAR.items():
        yield f"{name} 32", {"model": name}, lambda n=n: cifar(n), (2, 3, 32, 32)
    yield (
        "resnet20 option B",
        {"model": "resnet20", "shortcut": "PROJECTION"},
        lambda: cifar(3, zero_pad=False),
        (2, 3, 32, 32),
    )
    yield (
        "resnet20 odd",
        {"model": "resnet20"},
        lambda: cifar(3),
        (3, 3, 33, 47),
    )
    yield (
        "resnet50 v1",
        {"model": "resnet50", "stridePlacement": "FIRST_1X1"},
        lambda: Network(Bottleneck, [3, 4, 6, 3], stride_first=True),
        (2, 3, 64, 64),
    )
    yield (
        "resnet50 dilated",
        {"model": "resnet50", "dilated": [False, True, True]},
        lambda: torchvision.models.resnet50(
            replace_stride_with_dilation=[False, True, True]
        ),
        (1, 3, 64, 64),
    )
    yield (
        "resnet18 not square",
        {"model": "resnet18"},
        torchvision.models.resnet18,
        (1, 3, 65, 97),
    )
    yield (
        "resnet50 smallest",
        {"model": "resnet50"},
        torchvision.models.resnet50,
        (3, 3, 32, 32),
    )
    yield (
        "resnet50 without top",
        {"model": "resnet50", "includeTop": False},
        lambda: Network(Bottleneck, [3, 4, 6, 3], include_top=False),
        (1, 3, 64, 96),
    )
    yield (
        "resnet34 gray",
        {"model": "resnet34", "inChannels": 1, "numClasses": 7},
        lambda: Network(BasicBlock, [3, 4, 6, 3], in_channels=1, num_classes=7),
        (2, 1, 64, 64),
    )
    yield (
        "bottleneck on small images",
        {
            "block": "BOTTLENECK",
            "blocks": [2, 1, 2],
            "channels": 24,
            "groups": 3,
            "widthPerGroup": 40,
            "stem": "SMALL_IMAGE",
            "shortcut": "ZERO_PAD",
            "numClasses": 5,
        },
        lambda: Network(
            Bottleneck,
            [2, 1, 2],
            channels=24,
            groups=3,
            width_per_group=40,
            small_image=True,
            zero_pad=True,
            num_classes=5,
        ),
        (2, 3, 40, 36),
    )


def logits(out):
    cases, results = {}, {}
    for name, spec, build, shape in logit_cases():
        model = randomise_batch_norm(seeded(build))
        with torch.no_grad():
            y = model(seeded_input(*shape))
        cases[name] = {"spec": spec, "input": list(shape)}
        results[name] = y
        print(f"  {name}: {list(y.shape)}, largest {y.abs().max():.3g}", flush=True)
    (out / "logits.json").write_text(compact(cases))
    save_file(results, out / "logits.safetensors")


# timm's variants of ResNet.

TIMM = [
    "resnet10t", "resnet14t", "resnet18d", "resnet26", "resnet26d", "resnet26t", "resnet34d",
    "resnet50c", "resnet50d", "resnet50t", "seresnet18", "seresnet50", "seresnext50_32x4d",
    "ecaresnet26t", "ecaresnet50d", "resnetblur18", "resnetblur50d", "resnetaa34d", "resnetaa50",
    "seresnetaa50d", "seresnext26t_32x4d", "resnetrs50", "resnet50s", "ecaresnetlight", "senet154",
    "ecaresnet50d_pruned", "ecaresnext26t_32x4d", "test_resnet", "resnetv2_18", "resnetv2_18d",
    "resnetv2_50", "resnetv2_50t", "resnetv2_50d_gn", "resnetv2_50x1_bit", "resnetv2_164",
]  # fmt: skip


# A hundred branches at full strength would make any rounding change the result.
SHALLOW = {"senet154": {"layers": (1, 1, 1, 1)}}


# For training: every structure of the above once, with as few blocks as possible.
LEARNING = {
    "resnet10t": {},
    "resnet14t": {},
    "seresnet18": {"layers": (1, 1, 1, 1), "seed": 5},
    "ecaresnet26t": {"layers": (1, 1, 1, 1), "seed": 5},
    "resnetblur18": {"layers": (1, 1, 1, 1)},
    "seresnetaa50d": {"layers": (1, 1, 1, 1)},
    "resnetrs50": {"layers": (1, 1, 1, 1)},
    "senet154": {"layers": (1, 1, 1, 1), "samples": 256, "seed": 5},
    "ecaresnet50d_pruned": {"samples": 64},
    "test_resnet": {},
    "resnetv2_18": {"layers": (1, 2, 1, 1), "samples": 128},
    "resnetv2_18d": {"layers": (1, 1, 1, 1), "samples": 128, "seed": 5},
    "resnetv2_50": {"layers": (1, 2, 1, 1), "samples": 128},
    "resnetv2_50d_gn": {"layers": (1, 2, 1, 1), "samples": 128},
}


def create(name, **options):
    """timm's network; those of arXiv 1603.05027 for small images are timm's class with another stem."""
    if name == "resnetv2_50x1_bit" and "layers" in options:  # which timm does not accept for BiT
        return timm.models._builder.build_model_with_cfg(
            timm.models.resnetv2.ResNetV2, name, False, feature_cfg={"flatten_sequential": True}, stem_type="fixed",
            conv_layer=partial(timm.layers.StdConv2d, eps=1e-8), **options,
        )  # fmt: skip
    if name != "resnetv2_164":
        return timm.create_model(name, **options)
    model = timm.create_model("resnetv2_50", layers=[18] * 3, channels=(64, 128, 256), **options)
    model.stem = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 16, 3, padding=1, bias=False)))
    first = model.stages[0].blocks[0]
    first.norm1 = type(first.norm1)(16)
    first.conv1 = nn.Conv2d(16, 16, 1, bias=False)
    first.downsample.conv = nn.Conv2d(16, 64, 1, bias=False)
    for stage in model.stages[1:]:  # the stride is on the first 1x1
        stage.blocks[0].conv1.stride, stage.blocks[0].conv2.stride = (2, 2), (1, 1)
    return model


def draw(model, seed=1):
    """Random values for all tensors in the order of the state_dict; the Java tests generate the same."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            if value.dim() > 1:
                fan_in = value.numel() / value.shape[0]
                # Small weights keep the gates near one half.
                value.normal_(0, 0.01 if ".se." in name else (2 / fan_in) ** 0.5)
            elif name.endswith("running_var") or (name.endswith("weight") and value.dim() == 1):
                value.uniform_(0.5, 1.5)
            else:
                value.normal_(0, 0.1)
    return model


def relatives(out):
    """Logits in float64 and the error of float32, costs, and gradients of one step."""
    cases, results = {}, {}
    for name in TIMM:
        # Means of 2x2 pixels fit the shortcut's strides where extents are even throughout.
        other = (1, 3, 96, 64) if "aa" in name else (1, 3, 75, 53)
        for shape in ((2, 3, 64, 64), other):
            fewer = SHALLOW.get(name, {})
            model = draw(create(name, num_classes=10, **fewer)).eval()
            key = f"{name} {shape[2]}"
            with torch.no_grad():
                x = seeded_input(*shape)
                single, exact = model(x), model.double()(x.double())
            results[key] = exact.float()
            model.float()
            counts = FlopCountAnalysis(model, torch.zeros(1, *shape[1:]))
            counts.unsupported_ops_warnings(False)
            cases[key] = {
                "model": name,
                "input": list(shape),
                **fewer,
                "noise": ((single - exact).abs().max() / exact.abs().max()).item(),
                "parameters": sum(p.numel() for p in model.parameters()),
                "multiply_adds": sum(counts.by_operator()[each] for each in ("conv", "linear")),
                "state_dict": len(model.state_dict()),
            }
    learns = {}
    for name, options in LEARNING.items():
        seed, samples = options.pop("seed", 4), options.pop("samples", 1024)
        found = {}
        for dtype in (torch.float32, torch.float64):
            model = draw(timm.create_model(name, num_classes=10, **options)).to(dtype).train()
            # Odd rows: the last window has one.
            shape = [4, 3, 64 if "aa" in name else 45, 64]
            x = seeded_input(*shape, seed=seed).to(dtype)
            loss = torch.nn.functional.cross_entropy(model(x), torch.arange(4))
            loss.backward()
            found[dtype] = {key: p.grad.double() for key, p in model.named_parameters()}
        exact = found[torch.float64]
        noise = max(((found[torch.float32][key] - g).norm() / g.norm()).item() for key, g in exact.items())
        learns[name] = {"input": shape, "seed": seed, "samples": samples, **options, "loss": loss.item(), "noise": noise}
        results |= {f"{name}/{key}": sample(gradient, samples).float() for key, gradient in exact.items()}
    (out / "relatives-training.json").write_text(compact(learns))
    (out / "relatives.json").write_text(compact(cases))
    save_file(results, out / "relatives.safetensors")
    (out / "relatives.safetensors").chmod(0o644)


def catalogue(out):
    """The names and shapes of all networks of timm's resnet.py and resnetv2.py, as a digest for each."""
    found = {}
    other_norms = ["resnetv2_50d_evos", "resnetv2_50d_frn"]
    for name in timm.list_models(module="resnet") + timm.list_models(module="resnetv2", exclude_filters=other_norms):
        with torch.device("meta"):
            model = timm.create_model(name)
        entries = [f"{key} {list(value.shape)}\n" for key, value in model.state_dict().items()]
        found[name] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "state_dict": len(entries),
            "sha256": hashlib.sha256("".join(entries).encode()).hexdigest(),
        }
    (out / "catalogue.json").write_text(compact(found))


# Backbones: feature maps of all stages, with dilation instead of strides.

SHORT = {"layers": (1, 1, 2, 2)}
BACKBONES = (
    ("resnet18", 8, SHORT), ("resnet50", 16, SHORT), ("resnet18d", 8, SHORT), ("resnetaa34d", 16, SHORT),
    ("resnetblur18", 8, SHORT), ("test_resnet", 8, {}), ("resnetv2_18", 8, SHORT), ("resnetv2_50", 8, SHORT),
    ("resnetv2_18d", 16, SHORT), ("resnetv2_50x1_bit", 8, SHORT),
)  # fmt: skip
FROZEN = "frozen batch norm"
DILATED_LEARNING = {  # the seed of an input for which rounding changes no ReLU
    "resnet18": 5, "resnet18d": 5, "resnetblur18": 5, "resnetv2_18": 4, "resnetv2_18d": 5, FROZEN: 4,
}  # fmt: skip


def timm_maps(model, name, **options):
    """The maps of features_only with the weights of the complete network, by layer."""
    backbone = create(name, features_only=True, **options)
    names = backbone.feature_info.module_name()
    state = model.state_dict()
    flat = {key.replace("stem.", "stem_").replace("stages.", "stages_"): value for key, value in state.items()}
    wanted = backbone.state_dict().keys()
    backbone.load_state_dict({key: (state if key in state else flat)[key] for key in wanted})
    return lambda x: dict(zip(names, backbone.to(x.dtype).eval()(x)))


def torchvision_maps(model):
    layers = ("relu", "layer1", "layer2", "layer3", "layer4")
    return torchvision.models._utils.IntermediateLayerGetter(model, {name: name for name in layers})


def frozen(dtype):
    """torchvision's backbone of Faster R-CNN and Mask R-CNN, with dilation."""
    model = torchvision.models.resnet.ResNet(
        Bottleneck, [1, 1, 1, 1], num_classes=10, replace_stride_with_dilation=[False, True, True],
        norm_layer=torchvision.ops.FrozenBatchNorm2d,
    )  # fmt: skip
    return draw(model).to(dtype).train()


def backbones(out):
    """Maps in float64, gradients of one step, and the errors of float32."""
    cases, results = {}, {}
    for name, stride, options in BACKBONES:
        model = draw(create(name, num_classes=10, output_stride=stride, **options)).eval()
        shape = (1, 3, 96, 64) if "aa" in name else (1, 3, 75, 53)
        maps = timm_maps(model, name, output_stride=stride, **options)
        add_maps(f"{name} {stride}", {"model": name, "outputStride": stride, **options}, maps, shape, cases, results)
    dilated = {"num_classes": 10, "replace_stride_with_dilation": [False, True, True]}
    maps = torchvision_maps(draw(torchvision.models.resnet.ResNet(Bottleneck, SHORT["layers"], **dilated)).eval())
    fields = {"model": "resnet50", "outputStride": 8, **SHORT}
    add_maps("torchvision resnet50 8", fields, lambda x: maps.to(x.dtype)(x), (1, 3, 64, 96), cases, results)
    for name, seed in DILATED_LEARNING.items():
        layers, found = (1, 1, 2, 1) if "18" in name else (1, 1, 1, 1), {}
        for dtype in (torch.float32, torch.float64):
            if name == FROZEN:
                model = frozen(dtype)
            else:
                model = draw(timm.create_model(name, num_classes=10, output_stride=8, layers=layers)).to(dtype).train()
            x = seeded_input(4, 3, 45, 64, seed=seed).to(dtype)
            loss = torch.nn.functional.cross_entropy(model(x), torch.arange(4))
            loss.backward()
            found[dtype] = {key: p.grad.double() for key, p in model.named_parameters()}
        exact = found[torch.float64]
        noise = max(((found[torch.float32][key] - g).norm() / g.norm()).item() for key, g in exact.items())
        cases[f"{name} learns"] = {
            "model": "resnet50" if name == FROZEN else name, "outputStride": 8,
            "layers": layers, "frozen": name == FROZEN,
            "input": [4, 3, 45, 64], "seed": seed, "loss": loss.item(), "noise": noise,
        }  # fmt: skip
        results |= {f"{name} learns/{key}": sample(gradient, 24).float() for key, gradient in exact.items()}
    (out / "backbones.json").write_text(compact(cases))
    save_file(results, out / "backbones.safetensors")
    (out / "backbones.safetensors").chmod(0o644)


def add_maps(key, fields, maps, shape, cases, results):
    x = seeded_input(*shape)
    with torch.no_grad():
        single, exact = maps(x), maps(x.double())
    noise = max(((single[layer] - y).abs().max() / y.abs().max()).item() for layer, y in exact.items())
    cases[key] = {**fields, "input": list(shape), "noise": noise,
                  "maps": {layer: list(y.shape) for layer, y in exact.items()}}  # fmt: skip
    results |= {f"{key}/{layer}": sample(y, 96).float() for layer, y in exact.items()}


def group_norm_cases():
    """Name, architecture in the Java tests' terms, PyTorch's builder, shape of the input."""
    yield "bottlenecks", {"block": "BOTTLENECK", "blocks": [2, 1], "channels": 32, "normGroups": 32, "numClasses": 10}, lambda: Network(Bottleneck, [2, 1], channels=32, num_classes=10), 32, (4, 3, 45, 64)  # fmt: skip
    yield "a group over several blocks of channels", {"block": "BASIC", "blocks": [1, 2], "channels": 24, "normGroups": 1, "numClasses": 10}, lambda: Network(BasicBlock, [1, 2], channels=24, num_classes=10), 1, (3, 3, 48, 37)  # fmt: skip
    yield "a group for each channel", {"model": "resnet8", "normGroups": 16}, lambda: cifar(1), 16, (4, 3, 33, 32)  # fmt: skip
    yield "narrow convolutions", {"block": "BOTTLENECK", "blocks": [1, 2], "channels": 64, "groups": 32, "widthPerGroup": 4, "normGroups": 8, "numClasses": 10}, lambda: Network(Bottleneck, [1, 2], groups=32, width_per_group=4, num_classes=10), 8, (2, 3, 48, 48)  # fmt: skip
    yield "resnet50_gn", {"model": "resnet50_gn", "numClasses": 10}, lambda: timm.create_model("resnet50_gn", num_classes=10), 0, (2, 3, 64, 96)  # fmt: skip


def with_group_norm(model, groups):
    """Replaces batch norm with group norm, if groups is not 0."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and groups > 0:
                setattr(module, name, nn.GroupNorm(groups, child.num_features))
    return model


def group_norm(out):
    """Logits and gradients of one step in float64, and the error of float32."""
    cases, results = {}, {}
    for name, spec, build, groups, shape in group_norm_cases():
        found = {}
        for dtype in (torch.float32, torch.float64):
            model = draw(with_group_norm(build(), groups)).to(dtype)
            y = model(seeded_input(*shape).to(dtype))
            loss = nn.functional.cross_entropy(y, torch.arange(shape[0]))
            loss.backward()
            gradients = {k: p.grad.double() for k, p in model.named_parameters()}
            found[dtype] = y.detach(), gradients
        (single, rough), (exact, gradients) = found.values()
        noise = max(((rough[k] - g).norm() / g.norm()).item() for k, g in gradients.items())
        print(f"  {name}: gradients in float32 {noise:.1e} off, logits "
              f"{((single - exact).abs().max() / exact.abs().max()).item():.1e}", flush=True)
        cases[name] = {"spec": spec, "input": list(shape), "loss": loss.item(), "noise": noise,
                       "parameters": sum(p.numel() for p in model.parameters())}  # fmt: skip
        results[name] = exact.float()
        if spec.get("model") != "resnet50_gn":
            # Every n-th value of each gradient, at most 32.
            results |= {
                f"{name}/{k}": g.flatten()[:: -(-g.numel() // 32)].float().clone()
                for k, g in gradients.items()
            }
    (out / "group-norm.json").write_text(compact(cases))
    save_file(results, out / "group-norm.safetensors")
    (out / "group-norm.safetensors").chmod(0o644)


# Costs.


def costs(out):
    """Parameters, and multiply-adds of convolutions and heads as fvcore counts them."""
    cases = {}
    for name, spec, build, shape in logit_cases():
        model = seeded(build).eval()
        counts = FlopCountAnalysis(model, torch.zeros(1, *shape[1:]))
        counts.unsupported_ops_warnings(False)
        by_layer = {
            layer: int(operators["conv"] + operators["linear"])
            for layer, operators in counts.by_module_and_operator().items()
            if layer and operators["conv"] + operators["linear"] > 0
        }
        cases[name] = {
            "spec": spec,
            "input": list(shape[1:]),
            "parameters": sum(p.numel() for p in model.parameters()),
            "multiply_adds": sum(counts.by_operator()[each] for each in ("conv", "linear")),
            "layers": by_layer,
        }
    for name in TORCHVISION:
        weights = torchvision.models.get_model_weights(name).DEFAULT
        model = getattr(torchvision.models, name)().eval()
        counts = FlopCountAnalysis(model, torch.zeros(1, 3, 224, 224))
        counts.unsupported_ops_warnings(False)
        cases[f"{name} published"] = {
            "spec": {"model": name},
            "input": [3, 224, 224],
            "parameters": weights.meta["num_params"],
            "multiply_adds": sum(counts.by_operator()[each] for each in ("conv", "linear")),
            "published_giga": weights.meta["_ops"],
        }
    (out / "costs.json").write_text(compact(cases))


# Heat maps.


def heat_maps(out):
    """The results of the grad-cam package for seeded networks and noise images."""
    cases, results = {}, {}
    for name, layer, index, shape in (
        ("resnet18", "layer4", 7, (1, 3, 96, 64)),
        ("resnet18", "layer3", 7, (1, 3, 96, 64)),
        ("resnet18", "layer3.1.conv2", 7, (1, 3, 64, 64)),
        ("resnet18", "layer1", 7, (1, 3, 64, 64)),
        ("resnet50", "layer4", 281, (1, 3, 96, 96)),
        ("resnet50", "layer3", 281, (1, 3, 64, 64)),
        ("resnext50_32x4d", "layer3", 281, (1, 3, 64, 64)),
        ("resnet20", "layer3", 3, (1, 3, 32, 32)),
        ("resnet20", "layer1", 3, (1, 3, 32, 32)),
        ("resnetv2_18", "stages.1", 7, (1, 3, 48, 32)),
        ("resnetv2_50d_gn", "stages.2", 281, (1, 3, 48, 64)),
        ("resnetv2_50x1_bit", "stages.3", 7, (1, 3, 64, 64)),
    ):
        if name.startswith("resnetv2"):
            model = draw(create(name, num_classes=1000)).eval()
        else:
            build = (lambda: cifar(3)) if name == "resnet20" else getattr(torchvision.models, name)
            model = randomise_batch_norm(seeded(build))
        x = seeded_input(*shape)
        target = model.get_submodule(layer)
        key = f"{name} {layer}"
        cases[key] = {"model": name, "layer": layer, "index": index, "input": list(shape)}
        for method, kind in (("gradcam", GradCAM), ("gradcam++", GradCAMPlusPlus)):
            with kind(model, [target]) as cam:
                results[f"{key} {method}"] = torch.from_numpy(cam(x, [ClassifierOutputTarget(index)])[0])
        kept = []
        hook = target.register_forward_hook(lambda _, __, y: kept.append(y.detach().clone()))
        with torch.no_grad():
            model(x)
        hook.remove()
        projection = get_2d_projection(kept[0].double().numpy())[0]  # float64; the sign is arbitrary
        results[f"{key} eigencam"] = torch.from_numpy(projection.astype(np.float32))
    (out / "heatmaps.json").write_text(compact(cases))
    save_file(results, out / "heatmaps.safetensors")
    (out / "heatmaps.safetensors").chmod(0o644)


# Training.


def training_cases():
    small = {"channels": 16, "num_classes": 10}
    yield "basic", {"block": "BASIC", "blocks": [1, 1, 1, 1], "channels": 16, "numClasses": 10}, lambda: Network(BasicBlock, [1, 1, 1, 1], **small), (4, 3, 64, 64)  # fmt: skip
    yield "identity blocks", {"block": "BASIC", "blocks": [2, 1], "channels": 32, "numClasses": 10}, lambda: Network(BasicBlock, [2, 1], channels=32, num_classes=10), (4, 3, 64, 72)  # fmt: skip
    yield "bottleneck", {"block": "BOTTLENECK", "blocks": [2, 1], "channels": 16, "numClasses": 10}, lambda: Network(Bottleneck, [2, 1], **small), (4, 3, 48, 48)  # fmt: skip
    yield "groups", {"block": "BOTTLENECK", "blocks": [1, 2], "channels": 64, "groups": 32, "widthPerGroup": 4, "numClasses": 10}, lambda: Network(Bottleneck, [1, 2], groups=32, width_per_group=4, num_classes=10), (2, 3, 48, 48)  # fmt: skip
    yield "stride first", {"block": "BOTTLENECK", "blocks": [1, 1], "channels": 16, "stridePlacement": "FIRST_1X1", "numClasses": 10}, lambda: Network(Bottleneck, [1, 1], stride_first=True, **small), (4, 3, 33, 47)  # fmt: skip
    yield "dilated", {"block": "BOTTLENECK", "blocks": [1, 1, 1], "channels": 16, "dilated": [False, True], "numClasses": 10}, lambda: Network(Bottleneck, [1, 1, 1], dilated=[False, True], **small), (4, 3, 64, 64)  # fmt: skip
    yield "option A", {"block": "BASIC", "blocks": [1, 1, 1], "channels": 16, "stem": "SMALL_IMAGE", "shortcut": "ZERO_PAD", "numClasses": 10}, lambda: cifar(1), (8, 3, 32, 32)  # fmt: skip


def train(build, x, y, dtype):
    model = seeded(build).to(dtype).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    losses, first = [], {}
    for step in range(10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x.to(dtype)), y)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            first = {f"grad.{k}": p.grad.clone() for k, p in model.named_parameters()}
            first |= {k: b.clone() for k, b in model.named_buffers() if "running" in k}
        optimizer.step()
    return losses, first


def sample(tensor, count=1024):
    return tensor.flatten()[:: -(-tensor.numel() // count)].clone()


def training(out):
    """Losses, first gradients and statistics in float64, and the error of float32."""
    cases, results = {}, {}
    for name, spec, build, shape in training_cases():
        x = seeded_input(*shape)
        y = torch.arange(shape[0]) % 10
        losses, first = train(build, x, y, torch.float64)
        single, rough = train(build, x, y, torch.float32)
        noise = max(((rough[k] - v).norm() / v.norm()).item() for k, v in first.items())
        drift = max(abs(a - b) for a, b in zip(losses, single))
        print(f"  {name}: gradients in float32 {noise:.1e} off, losses {drift:.1e}", flush=True)
        cases[name] = {"spec": spec, "input": list(shape), "losses": losses, "noise": noise, "drift": drift}  # fmt: skip
        # Every n-th value of each tensor, at most 1024.
        results |= {f"{name}/{k}": sample(v).float() for k, v in first.items()}
    (out / "training.json").write_text(compact(cases))
    save_file(results, out / "training.safetensors")


def ten_steps(out):
    """The weights of whole networks after ten steps in float64, and the error of float32."""
    cases, results = {}, {}
    for name, lr, build, shape in (
        ("resnet18", 0.005, lambda: torchvision.models.resnet18(num_classes=10), (8, 3, 64, 64)),
        ("resnet50", 0.0005, lambda: torchvision.models.resnet50(num_classes=10), (8, 3, 96, 96)),
        ("resnext50_32x4d", 0.0005, lambda: torchvision.models.resnext50_32x4d(num_classes=10), (8, 3, 96, 96)),  # fmt: skip
        ("resnet20", 0.005, lambda: cifar(3), (16, 3, 32, 32)),
    ):
        x, y = seeded_input(*shape), torch.arange(shape[0]) % 10
        ends, losses = {}, {}
        for dtype in (torch.float64, torch.float32):
            model = seeded(build).to(dtype).train()
            start = {k: v.double().clone() for k, v in model.state_dict().items()}
            optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
            losses[dtype] = []
            for _ in range(10):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x.to(dtype)), y)
                loss.backward()
                optimizer.step()
                losses[dtype].append(loss.item())
            # Every n-th value of each tensor's change, at most 64.
            ends[dtype] = {
                k: (v.double() - start[k]).flatten()[:: -(-v.numel() // 64)]
                for k, v in model.state_dict().items()
                if "num_batches" not in k
            }
        exact, rough = (torch.cat(list(e.values())) for e in ends.values())
        noise = ((rough - exact).norm() / exact.norm()).item()
        drift = max(abs(a - b) for a, b in zip(*losses.values()))
        print(f"  {name}: changes in float32 {noise:.1e} off, losses {drift:.1e}", flush=True)
        cases[name] = {"rate": lr, "input": list(shape), "losses": losses[torch.float64], "noise": noise, "drift": drift}  # fmt: skip
        results |= {f"{name}/{k}": v.float().contiguous() for k, v in ends[torch.float64].items()}
    (out / "ten-steps.json").write_text(compact(cases))
    save_file(results, out / "ten-steps.safetensors")


def half_cases():
    yield from training_cases()
    blocks = {"layers": (2, 1)}
    yield "pre-activation", {"model": "resnetv2_18", **blocks}, lambda: draw(timm.create_model("resnetv2_18", num_classes=10, **blocks)), (4, 3, 64, 64)  # fmt: skip


def half_steps(out):
    """Ten steps in float64 from several inputs: the changes of weights, and how far autocast to bfloat16 is away."""
    cases, results = {}, {}
    for name, spec, build, shape in half_cases():
        y = torch.arange(shape[0]) % 10
        distances, drifts, losses = [], [], {}
        for seed in HALF_INPUTS:
            x, ends = seeded_input(*shape, seed=seed), []
            for half in (False, True):
                dtype = torch.float32 if half else torch.float64
                model = seeded(build).to(dtype).train()
                start = {k: p.detach().double().clone() for k, p in model.named_parameters()}
                optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=1e-4)
                losses[half] = []
                for _ in range(10):
                    optimizer.zero_grad()
                    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                        logits = model(x.to(dtype))
                    loss = nn.functional.cross_entropy(logits.to(dtype), y)
                    loss.backward()
                    optimizer.step()
                    losses[half].append(loss.item())
                ends.append([few(p.detach().double() - start[k]) for k, p in model.named_parameters()])
            exact, rough = (torch.cat(each) for each in ends)
            distances.append(((rough - exact).norm() / exact.norm()).item())
            drifts.append(max(abs(a - b) for a, b in zip(*losses.values())))
            results[f"{name}/{seed}"] = exact.float()
        print(f"  {name}: changes in bfloat16 {distances} off, losses {drifts}", flush=True)
        cases[name] = {"spec": spec, "input": list(shape), "distances": distances, "drifts": drifts}
    (out / "half-steps.json").write_text(compact(cases))
    save_file(results, out / "half-steps.safetensors")
    (out / "half-steps.safetensors").chmod(0o644)


HALF_INPUTS = (2, 3, 4, 5, 6)


def few(tensor):
    """Every n-th value, at most 16."""
    return tensor.flatten()[:: -(-tensor.numel() // 16)].clone()


def optimizers(out):
    """Five steps of each optimizer on plain tensors, and the learning rates of each scheduler."""
    cases = {}
    torch.manual_seed(3)
    start, gradients = torch.randn(6), torch.randn(5, 6)
    build = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),  # fmt: skip
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01),
    }
    for name, make in build.items():
        w = nn.Parameter(start.clone())
        optimizer = make([w])
        for g in gradients:
            w.grad = g.clone()
            optimizer.step()
        cases[name] = {"weights": w.tolist()}
    w = nn.Parameter(start.clone())
    optimizer = build["sgd"]([w])
    for g in gradients:
        w.grad = g.clone()
        nn.utils.clip_grad_norm_([w], 1.5)
        optimizer.step()
    cases["clipped"] = {"weights": w.tolist()}
    cases["data"] = {"start": start.tolist(), "gradients": gradients.tolist()}
    schedulers = torch.optim.lr_scheduler
    for name, warmup, main in (
        ("COSINE", 0, lambda o: schedulers.CosineAnnealingLR(o, 12)),
        ("COSINE", 3, lambda o: schedulers.CosineAnnealingLR(o, 9)),
        ("STEPS", 0, lambda o: schedulers.MultiStepLR(o, [4, 9])),
        ("CONSTANT", 2, lambda o: schedulers.ConstantLR(o, 1.0)),
    ):
        optimizer = torch.optim.SGD([nn.Parameter(start.clone())], lr=0.3)
        scheduler = main(optimizer)
        if warmup:
            rising = schedulers.LinearLR(optimizer, 0.01, total_iters=warmup)
            scheduler = schedulers.SequentialLR(optimizer, [rising, scheduler], [warmup])
        rates = []
        for _ in range(12):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        cases[f"{name} {warmup}"] = {
            "kind": name, "warmup": warmup, "steps": 1, "losses": [], "rates": rates
        }  # fmt: skip
    optimizer = torch.optim.SGD([nn.Parameter(start.clone())], lr=0.3)
    scheduler = schedulers.OneCycleLR(
        optimizer, 0.3, epochs=6, steps_per_epoch=5, cycle_momentum=False
    )
    rates = []
    for i in range(30):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if i < 29:
            scheduler.step()
    cases["ONE_CYCLE"] = {
        "kind": "ONE_CYCLE", "warmup": 0, "steps": 5, "losses": [], "rates": rates
    }  # fmt: skip
    optimizer = torch.optim.SGD([nn.Parameter(start.clone())], lr=0.3)
    scheduler = schedulers.ReduceLROnPlateau(optimizer)
    losses = [2, 1.5, 1.4999, 1.2] + [1.3, 1.19999] * 12 + [1.1] + [1.1] * 12
    rates = []
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(loss)
    cases["PLATEAU"] = {
        "kind": "PLATEAU", "warmup": 0, "steps": 1, "losses": losses, "rates": rates
    }  # fmt: skip
    (out / "optimizers.json").write_text(compact(cases))


def adjustments(out):
    """The operations of torchvision's TrivialAugment on Pillow images."""
    from torchvision.transforms.autoaugment import _apply_op

    rng = np.random.default_rng(5)
    small = PIL.Image.fromarray(rng.integers(20, 230, (5, 6, 3), dtype=np.uint8))
    image = small.resize((37, 26), PIL.Image.Resampling.BICUBIC)
    strengths = {
        "ShearX": (0.4, -0.99), "ShearY": (0.4, -0.99), "TranslateX": (7.7, -12.3),
        "TranslateY": (5.5, -3.2), "Rotate": (13.5, -121.5, 90.0), "Brightness": (0.5, -0.7),
        "Color": (0.5, -0.7), "Contrast": (0.5, -0.7), "Sharpness": (0.9, -0.8),
        "Posterize": (3, 6), "Solarize": (100.0, 255.0), "AutoContrast": (0,), "Equalize": (0,),
    }  # fmt: skip
    names = {"Color": "saturation", "ShearX": "shear_x", "ShearY": "shear_y",
             "TranslateX": "translate_x", "TranslateY": "translate_y"}  # fmt: skip
    tensors = {"image": torch.from_numpy(np.asarray(image).copy())}
    nearest = torchvision.transforms.InterpolationMode.NEAREST
    for op, values in strengths.items():
        for value in values:
            done = _apply_op(image, op, value, nearest, [0.0, 0.0, 0.0])
            name = names.get(op, op.lower())
            tensors[f"{name} {value}"] = torch.from_numpy(np.asarray(done).copy())
    save_file(tensors, out / "adjustments.safetensors")


def events(out):
    """A file of TensorBoard's own writer; ours must be byte-identical."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    with open(out / "events.tfevents", "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1700000000, file_version="brain.Event:2").SerializeToString())
        for tag, step, value, when in (
            ("train/loss", 1, 2.5, 1700000001.25),
            ("train/loss", 300, 0.125, 1700000002.5),
            ("epoch/val_accuracy", 70000, 0.99, 1700000003.0),
        ):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.write(Event(wall_time=when, step=step, summary=summary).SerializeToString())


def forward(out):
    """Expected output of the forward command with initial weights."""
    model = seeded(lambda: cifar(3)).eval()
    x = seeded_input(2, 3, 40, 48)
    features = []
    model.layer3.register_forward_hook(lambda _module, _input, output: features.append(output))
    with torch.no_grad():
        np.save(out / "forward-input.npy", x.numpy())
        save_file({"logits": model(x), "features": features[0]}, out / "forward.safetensors")


# Checkpoints.


def tiny(**options):
    options = {"channels": 4, "small_image": True, "num_classes": 3, **options}
    return Network(BasicBlock, [1, 1], **options)


def checkpoints(out):
    folder = out / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    model = randomise_batch_norm(seeded(tiny))
    state = model.state_dict()
    with torch.no_grad():
        x = seeded_input(2, 3, 32, 32)
        save_file({"input": x, "logits": model(x)}, folder / "expected.safetensors")

    def save(name, what, **options):
        torch.save(what, folder / name, **options)

    save("zip.pth", state)
    for protocol in (3, 4, 5):
        save(f"protocol{protocol}.pth", state, pickle_protocol=protocol)
    save("legacy.pth", state, _use_new_zipfile_serialization=False)
    save("half.pth", OrderedDict((k, v.half() if v.is_floating_point() else v) for k, v in state.items()))  # fmt: skip
    save("without-counters.pth", OrderedDict((k, v) for k, v in state.items() if "num_batches" not in k))  # fmt: skip
    save_file(dict(state), folder / "plain.safetensors")

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.train()(x).sum().backward()
    optimizer.step()
    model.load_state_dict(torch.load(folder / "zip.pth"))  # the step changed the weights
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 7])
    save(
        "training.pth",
        {
            "epoch": 3,
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": scheduler.state_dict(),
            "best": np.float64(71.5),
            "best_acc1": torch.tensor(71.5),
            "args": argparse.Namespace(lr=0.1, data="images", workers=4),
            "state_dict": OrderedDict((f"module.{k}", v) for k, v in state.items()),
        },
    )
    save("compiled.pth", {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}})
    average = torch.optim.swa_utils.AveragedModel(model)
    save("average.pth", {"model_ema": average.state_dict(), "epoch": 1})
    save("backbone.pth", {"net": {f"model.backbone.{k}": v for k, v in state.items()}})
    save("parameters.pth", OrderedDict(list(model.named_parameters()) + list(model.named_buffers())))  # fmt: skip

    # One storage with several views: offsets, strides, transposes.
    shared = torch.arange(24, dtype=torch.float32)
    views = {
        "whole": shared,
        "offset": shared[5:11],
        "transposed": shared.view(4, 6).t(),
        "every_third": shared[::3],
        "block": shared.view(4, 6)[1:3, 2:5],
        "expanded": shared[2:3].expand(2, 4),
        "scalar": shared[7],
        "empty": shared[:0],
    }
    save("views.pth", views)
    save("views-legacy.pth", views, _use_new_zipfile_serialization=False)
    types = [
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool,
    ]  # fmt: skip
    values = torch.tensor([0, 1, 1.5, 100, 0.1])
    typed = {str(t).split(".")[1]: values.to(t) for t in types}
    save("types.pth", typed)
    save_file(typed, folder / "types.safetensors")
    expected = {
        "views": {k: {"shape": list(v.shape), "values": v.flatten().tolist()} for k, v in views.items()},  # fmt: skip
        "types": {k: {"shape": list(v.shape), "values": v.float().tolist()} for k, v in typed.items()},  # fmt: skip
    }
    (folder / "tensors.json").write_text(compact(expected))
    np.save(folder / "array.npy", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    np.save(folder / "fortran.npy", np.asfortranarray(np.arange(24).reshape(2, 3, 4)))
    np.save(folder / "double.npy", np.arange(24, dtype=np.float64).reshape(2, 3, 4))

    # Files that must be rejected.
    save("whole-model.pth", nn.Sequential(nn.Linear(2, 2)))

    hugging_face(folder)


class Python2Pickler(pickle._Pickler):
    """Writes pickle protocol 2 like Python 2, with byte strings."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_str(self, text):
        self.write_bytes(text.encode("ascii"), text)

    def save_bytes(self, data):
        self.write_bytes(data, data)

    def write_bytes(self, data, value):
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = save_str
    dispatch[bytes] = save_bytes


def foreign_checkpoints(out):
    """Files that torch.load(weights_only=True) reads, with tensors that a ResNet does not have."""
    folder = out / "checkpoints" / "foreign"
    folder.mkdir(parents=True, exist_ok=True)
    python2 = types.ModuleType("python2")
    python2.Pickler = Python2Pickler
    python2.dump = lambda value, file, protocol: Python2Pickler(file, protocol).dump(value)
    weights = OrderedDict(
        (("conv1.weight", torch.arange(24.0).reshape(2, 3, 2, 2)), ("steps", torch.tensor(7)))
    )
    whole = {"state_dict": weights, "epoch": 3, "classes": {"cat", "dog"}, "best": 0.5}
    for name, zipped in ("python2.pth", True), ("python2-legacy.pth", False):
        torch.save(whole, folder / name, python2, _use_new_zipfile_serialization=zipped)
    torch.serialization.set_crc32_options(False)
    torch.save(weights, folder / "without-checksums.pth")
    torch.serialization.set_crc32_options(True)

    class Stream(io.RawIOBase):  # not seekable, so checksums and lengths follow the data
        def __init__(self):
            self.bytes = b""

        def writable(self):
            return True

        def write(self, data):
            self.bytes += bytes(data)
            return len(data)

    torch.save(weights, folder / "checksums.pth")
    stream = Stream()
    with zipfile.ZipFile(folder / "checksums.pth") as source, zipfile.ZipFile(stream, "w") as copy:  # fmt: skip
        for entry in source.infolist():
            copy.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    (folder / "data-descriptors.pth").write_bytes(stream.bytes)
    arrays = {k: v.numpy() for k, v in weights.items()}
    arrays["transposed.weight"] = np.asfortranarray(arrays["conv1.weight"].astype(np.float16))
    arrays["bytes"] = np.arange(256, dtype=np.uint8)
    # An array and a scalar beside the weights, as training scripts save their losses.
    metrics = {"losses": np.ones(3), "best": np.float64(0.5), "model": weights}
    np.savez(folder / "arrays.npz", **arrays)
    torch.save(metrics, folder / "numpy-metrics.pth")
    for protocol in 2, 3, 4, 5:
        torch.save({"state_dict": arrays}, folder / f"numpy-protocol{protocol}.pth", pickle_protocol=protocol)
        (folder / f"numpy-protocol{protocol}.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "nobody"}, protocol))
    with open(folder / "numpy-python2.pkl", "wb") as file:
        Python2Pickler(file, 2).dump({"blobs": arrays})

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2))

        def forward(self, x):
            return self.body(x)

    torch.manual_seed(0)
    module = Module().eval()
    x = torch.zeros(1, 3, 4, 4)
    torch.jit.script(module).save(folder / "scripted.pt")
    torch.jit.trace(module, x).save(folder / "traced.pt")
    torch.jit.freeze(torch.jit.script(module)).save(folder / "frozen.pt")
    torch.export.save(torch.export.export(module, (x,)), folder / "exported.pt2")
    # The layout of torch.export.save until PyTorch 2.7: a zip file in the zip file.
    inner = io.BytesIO()
    torch.save(module.state_dict(), inner)
    with zipfile.ZipFile(folder / "exported-2.6.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", inner.getvalue())
        archive.writestr("version", "7.3")
    expected = {}
    for file in sorted(folder.iterdir()):
        if file.suffix == ".pth":
            loaded = torch.load(file, weights_only="numpy" not in file.name)
            loaded = loaded.get("state_dict", loaded.get("model", loaded))
        elif file.suffix in (".pkl", ".npz"):
            loaded = arrays
        elif file.suffix in (".pt", ".pt2") and file.stem != "frozen":
            loaded = module.state_dict()
        else:
            continue
        expected[file.name] = {k: {"shape": list(v.shape), "values": torch.as_tensor(v).float().flatten().tolist()} for k, v in loaded.items()}  # fmt: skip
    (folder / "expected.json").write_text(compact(expected))

    kinds = folder / "kinds"
    kinds.mkdir(exist_ok=True)
    values = torch.tensor([[0.0, 1.5], [2.0, 0.0]])
    linear = nn.Linear(2, 2)
    for name, tensor in {
        "sparse": values.to_sparse(),
        "quantized": torch.quantize_per_tensor(values, 0.1, 0, torch.qint8),
        "channels": torch.quantize_per_channel(values, torch.ones(2), torch.zeros(2), 0, torch.quint8),
        "complex64": values.to(torch.complex64),
        "complex128": values.to(torch.complex128),
        "float8_e4m3fn": values.to(torch.float8_e4m3fn),
        "float8_e5m2": values.to(torch.float8_e5m2),
        "uint16": values.to(torch.uint16),
        "meta": values.to("meta"),
        "numpy-complex": values.numpy().astype(np.complex64),
        "numpy-big-endian": values.numpy().astype(">f4"),
        "numpy-objects": np.array(["a", None]),
        "nested": torch.nested.nested_tensor([values, values]),
    }.items():
        torch.save({"bias": torch.ones(2), "layer.weight": tensor}, kinds / f"{name}.pth")
        # In addition to the weights they are accepted.
        if name in ("sparse", "quantized", "complex64", "float8_e4m3fn"):
            torch.save({"model": linear.state_dict(), "other": tensor}, kinds / f"beside-{name}.pth")
            if name in ("sparse", "quantized", "complex64"):
                torch.save({"model": {"bias": torch.ones(2)}, "other": tensor}, kinds / f"beside-{name}-legacy.pth", _use_new_zipfile_serialization=False)  # fmt: skip
    for name in "float8_e4m3fn", "complex64", "uint16":
        save_file({"layer.weight": values.to(getattr(torch, name))}, kinds / f"{name}.safetensors")


def hugging_face(folder):
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        num_labels=3,
    )
    torch.manual_seed(0)
    model = randomise_batch_norm(transformers.ResNetForImageClassification(config))
    with torch.no_grad():
        x = seeded_input(2, 3, 64, 64)
        save_file({"input": x, "logits": model(x).logits}, folder / "hugging-face-expected.safetensors")  # fmt: skip
    repository = folder / "hugging-face"
    model.save_pretrained(repository)
    (repository / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "crop_pct": 0.875,
                "do_normalize": True,
                "do_resize": True,
                "image_mean": [0.485, 0.456, 0.406],
                "image_std": [0.229, 0.224, 0.225],
                "resample": 3,
                "size": 224,
            }
        )
    )
    sharded = folder / "sharded"
    model.save_pretrained(sharded, max_shard_size="20KB")
    for extra in sharded.glob("config.json"):
        extra.unlink()


# Images.


def images(out):
    folder = out / "images"
    folder.mkdir(parents=True, exist_ok=True)
    cat = Image.open(Path(skimage.__file__).parent / "data" / "chelsea.png").convert("RGB")
    small = cat.resize((113, 75), Image.Resampling.LANCZOS)
    gray = small.convert("L")
    alpha = Image.merge("LA", (gray, Image.linear_gradient("L").resize(small.size)))
    rgba = small.copy()
    rgba.putalpha(Image.linear_gradient("L").resize(small.size))
    deep = (np.asarray(gray).astype(np.uint16) << 8) | 37

    def save(name, image, **options):
        image.save(folder / name, **options)

    save("baseline-420.jpg", small, quality=85, subsampling="4:2:0")
    save("baseline-422.jpg", small, quality=85, subsampling="4:2:2")
    save("baseline-444.jpg", small, quality=85, subsampling="4:4:4")
    save("progressive.jpg", small, quality=85, progressive=True)
    (folder / "baseline-440.jpg").write_bytes(jpeg_440(small.crop((0, 0, 64, 64))))
    save("restart.jpg", small, quality=85, restart_marker_blocks=3)
    save("gray.jpg", gray, quality=85)
    save("rgb.jpg", small, quality=85, keep_rgb=True)
    save("cmyk.jpg", small.convert("CMYK"), quality=85)
    ycck = adobe_ycck(small)
    (folder / "ycck.jpg").write_bytes(ycck)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"exif-{orientation}.jpg", small.resize((41, 27)), quality=85, exif=exif)
    save("rgb.png", small)
    save("gray.png", gray)
    save("one-bit.png", gray.convert("1"))
    save("palette.png", small.quantize(64))
    save("palette-4-bit.png", small.quantize(13), bits=4)
    transparent = small.quantize(32)
    save("palette-transparent.png", transparent, transparency=3)
    save("gray-alpha.png", alpha)
    save("rgba.png", rgba)
    save("gray-16-bit.png", Image.fromarray(deep))
    save("dark-16-bit.png", Image.fromarray((deep >> 9).astype(np.uint16)))
    (folder / "rgb-16-bit.png").write_bytes(png_16_bit(small))
    save("rgb.bmp", small)
    save("palette.bmp", small.quantize(64))
    save("one-bit.bmp", gray.convert("1"))
    save("palette.gif", small.quantize(64))
    save("gray.gif", gray)
    frames = [small.quantize(16), small.transpose(Image.Transpose.FLIP_LEFT_RIGHT).quantize(16)]
    save("two-frames.gif", frames[0], save_all=True, append_images=frames[1:])
    for name in ("palette.gif", "gray.gif"):
        # A canvas larger than its first frame, and a frame with an offset.
        data = bytearray((folder / name).read_bytes())
        frame = data.index(b"\x2c\0\0\0\0")
        data[6:10] = (130).to_bytes(2, "little") + (90).to_bytes(2, "little")
        data[frame + 1 : frame + 5] = (9).to_bytes(2, "little") + (7).to_bytes(2, "little")
        (folder / f"part-{name}").write_bytes(data)
    save("lossless.webp", small, lossless=True)
    save("lossless-alpha.webp", rgba, lossless=True, exact=True)
    save("lossy.webp", small, quality=85)

    expected = {}
    for file in sorted(folder.iterdir()):
        image = Image.open(file)
        rgb = np.asarray(image.convert("RGB"))
        entry = {"size": [rgb.shape[1], rgb.shape[0]], "sha256": sha256(rgb)}
        if file.name.startswith("exif"):
            upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            entry["upright"] = {
                "size": [upright.shape[1], upright.shape[0]],
                "sha256": sha256(upright),
            }
        expected[file.name] = entry
    (out / "decoded.json").write_text(compact(expected))

    cat.save(Path(__file__).resolve().parents[2] / "samples" / "cat.jpg", quality=90)


def image_formats(out):
    """An archive of the small files that `tools/parity/run images` compares."""
    from image_files import FORMATS

    expected = {}
    with zipfile.ZipFile(out / "formats.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for form, files in FORMATS.items():
            small = [
                (name, data)
                for name, data in files()
                if len(data) < 1700 and not name.startswith(("unsupported", "damaged"))
            ]
            for name, data in small[:: max(1, len(small) // 36)]:
                try:
                    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                    entry = {"size": [rgb.shape[1], rgb.shape[0]], "sha256": sha256(rgb)}
                except Exception:  # Pillow raises exceptions of many types
                    entry = {"refused": True}
                archive.writestr(zipfile.ZipInfo(f"{form}/{name}"), data, zipfile.ZIP_DEFLATED)
                expected[f"{form}/{name}"] = entry
    (out / "formats.json").write_text(compact(expected))


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def jpeg_440(image):
    """Converts 4:2:2 to a valid 4:4:0 by swapping its sampling factors."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, subsampling="4:2:2")
    data = bytearray(buffer.getvalue())
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == 0x21
    data[frame + 11] = 0x12
    return bytes(data)


def adobe_ycck(image):
    """Pillow writes CMYK only; the transform flag of the Adobe marker turns it into YCCK."""
    buffer = io.BytesIO()
    image.convert("CMYK").save(buffer, "JPEG", quality=85)
    data = bytearray(buffer.getvalue())
    at = data.index(b"Adobe")
    data[at + 11] = 2
    return bytes(data)


def png_16_bit(image):
    """Writes the chunks directly, since Pillow cannot write 16-bit colours."""
    pixels = np.asarray(image).astype(np.uint16) * 256 + 91
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # fmt: skip

    header = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def preprocessing(out):
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    cat = Image.open(out / "images" / "baseline-444.jpg").convert("RGB")
    sources = {"baseline-444.jpg": cat}
    sizes = [(500, 375), (375, 500), (256, 256), (224, 300), (33, 47), (641, 232), (97, 1000)]
    for width, height in sizes:
        # Noise is the hardest image for a resize. The Java tests generate the same noise.
        torch.manual_seed(width)
        noise = (torch.rand(height * width * 3) * 256).to(torch.uint8)
        sources[f"noise {width}x{height}"] = Image.fromarray(
            noise.view(height, width, 3).numpy()
        )
    modes = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
    presets = [(256, 224, "bilinear"), (232, 224, "bilinear"), (235, 224, "bicubic"), (32, 32, "bilinear"), (288, 288, "bicubic")]  # fmt: skip
    cases = {}
    for name, image in sources.items():
        for resize, crop, mode in presets:
            transform = ImageClassification(
                crop_size=crop, resize_size=resize, interpolation=modes[mode]
            )
            y = transform(image).numpy()
            cases[f"{name} {resize}-{crop} {mode}"] = {
                "source": name,
                "fields": {"resize_size": resize, "crop_size": crop, "interpolation": mode},
                "shape": list(y.shape),
                "sha256": sha256(y.astype("<f4")),
                "first": y.flatten()[:4].tolist(),
            }
    # Different trainings: sizes, crop fractions, interpolations, means.
    tags = (
        "resnet50.a1_in1k", "resnet50.tv_in1k", "resnet18.a3_in1k", "resnext50_32x4d.a1h_in1k",
        "resnet50.d_in1k", "resnet50.gluon_in1k", "resnet101.tv2_in1k", "ecaresnet26t.ra2_in1k",
        "resnet18d.ra4_e3600_r224_in1k", "seresnextaa201d_32x8d.sw_in12k_ft_in1k_384",
    )  # fmt: skip
    for tag in tags:
        cfg = timm.get_pretrained_cfg(tag).to_dict()
        data = timm.data.resolve_data_config(pretrained_cfg=cfg)
        transform = timm.data.create_transform(**data, is_training=False)
        fields = {k: cfg[k] for k in ("input_size", "crop_pct", "interpolation", "mean", "std")}
        for name in ("baseline-444.jpg", "noise 500x375", "noise 375x500"):
            y = transform(sources[name]).numpy()
            cases[f"{name} {tag}"] = {
                "source": name,
                "fields": fields,
                "shape": list(y.shape),
                "sha256": sha256(y.astype("<f4")),
                "first": y.flatten()[:4].tolist(),
            }
    (out / "preprocessing.json").write_text(compact(cases))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).resolve().parents[2] / "core/src/test/resources/golden"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    parts = (
        random_numbers, initial_weights, checkpoints, foreign_checkpoints, images, image_formats, preprocessing,
        forward, logits, training, half_steps, optimizers,
        ten_steps, adjustments, events, costs, heat_maps, relatives, catalogue,
        group_norm, backbones,
    )  # fmt: skip
    for part in parts:
        if not arguments.only or part.__name__ in arguments.only:
            print(part.__name__, flush=True)
            part(arguments.out)
    (arguments.out / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n")


if __name__ == "__main__":
    main()
