"""Writes ONNX files of small networks with both of PyTorch's exporters, and their logits.

    tools/parity/run onnx-golden [case ...]
"""

import sys
from functools import partial
from pathlib import Path

import onnx
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers import BlurPool2d, GroupNormAct, StdConv2d, get_attn
from timm.models.resnet import BasicBlock as TimmBasicBlock
from timm.models.resnet import Bottleneck as TimmBottleneck
from timm.models.resnetv2 import ResNetV2
from torchvision.models.resnet import BasicBlock, Bottleneck

sys.path.insert(0, str(Path(__file__).parent))
from golden import randomise_batch_norm, seeded, seeded_input  # noqa: E402
from networks import Network  # noqa: E402

# timm's, as narrow as they get.
TIMM = {
    "deep": {"block": TimmBasicBlock, "avg_down": True},
    "squeeze-excite": {"block": TimmBasicBlock, "block_args": {"attn_layer": "se"}},
    "eca": {"block": TimmBottleneck, "block_args": {"attn_layer": "eca"}},
    "blur": {"block": TimmBottleneck, "aa_layer": BlurPool2d},
    "means": {"block": TimmBasicBlock, "aa_layer": torch.nn.AvgPool2d, "avg_down": True},
    "strided-stem": {
        "block": TimmBottleneck, "replace_stem_pool": True, "avg_down": True,
        "block_args": {"attn_layer": partial(get_attn("se"), rd_ratio=0.25)},
    },
}  # fmt: skip


def small_timm(**options):
    """Two stages; timm always calls four."""
    model = timm.models.resnet.ResNet(
        layers=(1, 2), channels=(8, 16), stem_width=4, stem_type="deep", num_classes=5, **options
    )
    model.layer3 = model.layer4 = torch.nn.Identity()
    return model


def two_groups(channels, **options):
    return GroupNormAct(channels, num_groups=2, **options)


def small_bit():
    return ResNetV2(
        layers=(2,), channels=(32,), stem_chs=8, num_classes=5, stem_type="fixed",
        conv_layer=partial(StdConv2d, eps=1e-8), norm_layer=two_groups,
    )  # fmt: skip


SMALL = {"channels": 8, "num_classes": 5}
CASES = {
    "basic": lambda: Network(BasicBlock, [1, 2], **SMALL),
    "bottleneck": lambda: Network(Bottleneck, [1, 2], **SMALL),
    "groups": lambda: Network(Bottleneck, [1, 1], groups=4, width_per_group=32, **SMALL),
    "v1": lambda: Network(Bottleneck, [1, 1], stride_first=True, **SMALL),
    "option-a": lambda: Network(BasicBlock, [1, 1], small_image=True, zero_pad=True, **SMALL),
    "dilated": lambda: Network(Bottleneck, [1, 1, 1], dilated=[False, True], **SMALL),
    **{name: lambda options=options: small_timm(**options) for name, options in TIMM.items()},
    "bit": small_bit,
    "no-top": lambda: Network(BasicBlock, [1, 1], include_top=False, **SMALL),
}


def without_remarks(file):
    """The exporters note where in a source file each node comes from."""
    model = onnx.load(file, load_external_data=False)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, file)


def main():
    out = Path(__file__).resolve().parents[2] / "onnx/src/test/resources/golden"
    out.mkdir(parents=True, exist_ok=True)
    names = sys.argv[1:] or list(CASES)
    results = load_file(out / "logits.safetensors") if sys.argv[1:] else {}
    for name in names:
        model = randomise_batch_norm(seeded(CASES[name]))
        x = seeded_input(1, 3, 32, 32)
        with torch.no_grad():
            results[f"{name}.input"], results[f"{name}.output"] = x, model(x)
        torch.onnx.export(model, (x,), out / f"{name}-script.onnx", dynamo=False, opset_version=17)
        # The padding of option A then depends on the shape of the image; that of BiT is a large file.
        if name not in ("option-a", "bit"):
            torch.onnx.export(
                model, (x,), out / f"{name}-script-unfolded.onnx", dynamo=False, opset_version=17,
                do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
            )  # fmt: skip
        torch.onnx.export(model, (x,), out / f"{name}-dynamo.onnx", dynamo=True, external_data=name == "basic")
    for file in (file for name in names for file in out.glob(f"{name}-*.onnx")):
        without_remarks(file)
    save_file(results, out / "logits.safetensors")
    (out / "logits.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
