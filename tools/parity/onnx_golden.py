"""Writes ONNX files of small networks with both of PyTorch's exporters, and their logits.

    tools/parity/run onnx-golden
"""

import sys
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torchvision.models.resnet import BasicBlock, Bottleneck

sys.path.insert(0, str(Path(__file__).parent))
from golden import randomise_batch_norm, seeded, seeded_input  # noqa: E402
from networks import Network  # noqa: E402

SMALL = {"channels": 8, "num_classes": 5}
CASES = {
    "basic": lambda: Network(BasicBlock, [1, 2], **SMALL),
    "bottleneck": lambda: Network(Bottleneck, [1, 2], **SMALL),
    "groups": lambda: Network(Bottleneck, [1, 1], groups=4, width_per_group=32, **SMALL),
    "v1": lambda: Network(Bottleneck, [1, 1], stride_first=True, **SMALL),
    "option-a": lambda: Network(BasicBlock, [1, 1], small_image=True, zero_pad=True, **SMALL),
    "dilated": lambda: Network(Bottleneck, [1, 1, 1], dilated=[False, True], **SMALL),
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
    results = {}
    for name, build in CASES.items():
        model = randomise_batch_norm(seeded(build))
        x = seeded_input(1, 3, 32, 32)
        with torch.no_grad():
            results[f"{name}.input"], results[f"{name}.output"] = x, model(x)
        if name != "option-a":  # whose padding this exporter computes by a dozen nodes
            torch.onnx.export(model, (x,), out / f"{name}-script.onnx", dynamo=False, opset_version=17)
            torch.onnx.export(
                model, (x,), out / f"{name}-script-unfolded.onnx", dynamo=False, opset_version=17,
                do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE,
            )  # fmt: skip
        torch.onnx.export(model, (x,), out / f"{name}-dynamo.onnx", dynamo=True, external_data=name == "basic")
    for file in out.glob("*.onnx"):
        without_remarks(file)
    save_file(results, out / "logits.safetensors")
    (out / "logits.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
