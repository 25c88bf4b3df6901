"""Exports every network with the command, checks the files with ONNX's checker, and compares ONNX
Runtime's logits with PyTorch's.

    tools/parity/run onnx [--quick]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import timm
import torch
import torchvision

sys.path.insert(0, str(Path(__file__).parent))
from golden import CIFAR, TIMM, TORCHVISION, draw, randomise_batch_norm, seeded, seeded_input  # noqa: E402
from networks import cifar  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4  # float32 through a hundred layers
OPTIONS = {"": TOLERANCE, "--fold-bn": TOLERANCE, "--dynamic-batch": TOLERANCE, "--opset 20": TOLERANCE,
           "--precision fp16": 5e-2}  # eleven bits of mantissa  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="six networks")
    arguments = parser.parse_args()
    quick = ["resnet18", "resnext50_32x4d", "resnet20", "ecaresnet26t", "resnetblur18", "resnetrs50"]
    names = quick if arguments.quick else [*TORCHVISION, *CIFAR, *TIMM]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name in TIMM:
                model = draw(timm.create_model(name)).eval()
            else:
                build = (lambda n=CIFAR.get(name): cifar(n)) if name in CIFAR else getattr(torchvision.models, name)
                model = randomise_batch_norm(seeded(build))
            x = seeded_input(1, 3, 32, 32) if name in CIFAR else seeded_input(1, 3, 224, 224)
            with torch.no_grad():
                y = model(x).numpy()
            weights, file = Path(folder) / "weights.pth", Path(folder) / "network.onnx"
            torch.save(model.state_dict(), weights)
            for options, tolerance in OPTIONS.items():
                command = [ROOT / "resnet4j", "export", file, "-w", weights, "-m", name, *options.split()]
                subprocess.run(list(map(str, command)), check=True, capture_output=True)
                onnx.checker.check_model(str(file), full_check=True)
                session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
                found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
                error = np.abs(found - y).max() / np.abs(y).max()
                fine = error <= tolerance
                failed |= not fine
                print(f"{name:18} {options:18} {error:.1e}{'' if fine else '  TOO LARGE'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
