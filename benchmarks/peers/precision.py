"""Compares the errors of bf16 and int8 with those in PyTorch, ONNX Runtime and OpenVINO.

    benchmarks/peers/run precision [--networks resnet18,resnet50]

Prints two tables. bf16: the distance of the logits from those of the same engine in fp32, for resnet4j and
for PyTorch's autocast, for every network. int8: the same for static quantization with the same calibration
images, for resnet4j, ONNX Runtime and NNCF (OpenVINO). The distance is the norm of the difference divided by
the norm of the fp32 logits; agreement is the number of images whose top-1 class does not change. Weights are
random, with batch norm statistics of real passes; images are noise with the spectrum of photographs. The
last rows use the embedded model and held-out digits.
"""

import argparse
import contextlib
import pathlib
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import onnxruntime.quantization as quantization  # noqa: E402
import onnxruntime.quantization.shape_inference  # noqa: E402
import openvino  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
NETWORKS = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
]
torch.set_grad_enabled(False)


def images(count, size, seed):
    """Noise with the spectrum of photographs, normalized."""
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.fft.fftfreq(size)
    radius = torch.sqrt(frequency[:, None] ** 2 + frequency[None, :] ** 2).clamp(min=1 / size)
    spectrum = torch.fft.fft2(torch.randn(count, 3, size, size, generator=generator)) / radius
    x = torch.fft.ifft2(spectrum).real
    return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)


def network(name, x):
    """Random weights; the statistics of batch norm are those of a pass."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(x)
    return model.eval()


def resnet4j(*arguments):
    command = [str(ROOT / "resnet4j"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


def ours(folder, name, weights, precision):
    resnet4j("forward", *(["-m", name] if name else []), "-w", weights, "-i", folder / "x.npy", "-o", folder / "y.npy",
             "--precision", precision)
    return np.load(folder / "y.npy")


def ours_int8(folder, name, weights):
    bytes_ = folder / "int8.safetensors"
    resnet4j("quantize", bytes_, *(["-m", name] if name else []), "-w", weights, "--calibration-data", folder / "calibration.npy")
    return ours(folder, name, bytes_, "int8")


class Images(quantization.CalibrationDataReader):
    def __init__(self, x):
        self.left = [{"x": x[i : i + 1]} for i in range(len(x))]

    def get_next(self):
        return self.left.pop() if self.left else None


def onnx_runtime(file, x):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": x[i : i + 1]})[0] for i in range(len(x))])


def onnx_runtime_int8(file, x, calibration):
    quantization.shape_inference.quant_pre_process(file, file + ".prepared.onnx")
    quantization.quantize_static(
        file + ".prepared.onnx", file + ".int8.onnx", Images(calibration), per_channel=True,
        quant_format=quantization.QuantFormat.QDQ, activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8)
    return onnx_runtime(file + ".int8.onnx", x)


def nncf_int8(file, x, calibration):
    import nncf

    nncf.set_log_level(40)
    images = nncf.Dataset([calibration[i : i + 1] for i in range(len(calibration))])
    with contextlib.redirect_stdout(sys.stderr):
        model = nncf.quantize(openvino.Core().read_model(file), images, subset_size=len(calibration))
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(x[i : i + 1])[0] for i in range(len(x))])


def distance(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def agreement(a, b):
    return int((a.argmax(1) == b.argmax(1)).sum())


def cells(pairs):
    return [f"{100 * distance(a, b):.2f} %, {agreement(a, b)}" for a, b in pairs]


def row(*values):
    print("| " + " | ".join(map(str, values)) + " |", flush=True)


def bf16(names, folder):
    row("bf16", "images", "resnet4j: distance, agreement", "PyTorch autocast: distance, agreement")
    row(*["---"] * 4)
    for name in names:
        x = images(16, 224, 1)
        model = network(name, images(16, 224, 2))
        torch.save(model.state_dict(), folder / "weights.pth")
        np.save(folder / "x.npy", x.numpy())
        expected = model(x).numpy()
        with torch.autocast("cpu", torch.bfloat16):
            theirs = model(x).float().numpy()
        weights = folder / "weights.pth"
        mine, mine_fp32 = (ours(folder, name, weights, precision) for precision in ("bf16", "fp32"))
        row(name, len(x), *cells([(mine, mine_fp32), (theirs, expected)]))


def int8(names, folder):
    row("int8", "images", "resnet4j: distance, agreement", "ONNX Runtime: distance, agreement", "NNCF: distance, agreement")
    row(*["---"] * 5)
    for name in names:
        x, calibration = images(64, 224, 1).numpy(), images(32, 224, 3).numpy()
        model = network(name, images(16, 224, 2))
        weights = folder / "weights.pth"
        torch.save(model.state_dict(), weights)
        quantized(name, name, weights, model, x, calibration, folder)
    digits(folder)


def quantized(title, name, weights, model, x, calibration, folder):
    np.save(folder / "x.npy", x)
    np.save(folder / "calibration.npy", calibration)
    file = str(folder / "network.onnx")
    torch.onnx.export(
        model, (torch.from_numpy(x[:1]),), file, dynamo=False, opset_version=17, input_names=["x"])
    expected = model(torch.from_numpy(x)).numpy()
    mine, mine_fp32 = ours_int8(folder, name, weights), ours(folder, name, weights, "fp32")
    row(title, len(x), *cells([
        (mine, mine_fp32), (onnx_runtime_int8(file, x, calibration), expected),
        (nncf_int8(file, x, calibration), expected)]))


def digits(folder):
    sys.path.insert(0, str(ROOT / "tools" / "parity"))
    from networks import Network
    from safetensors.torch import load_file

    weights = ROOT / "core/src/main/resources/io/github/resnet4j/digits.pth"
    model = Network(torchvision.models.resnet.BasicBlock, [1, 1, 1], channels=16, small_image=True, zero_pad=True, num_classes=10)
    model.load_state_dict(torch.load(weights, weights_only=True))
    held_out = load_file(ROOT / "core/src/test/resources/golden/digits.safetensors")
    x = torch.stack([digit(values) for values in held_out["digits"].numpy()])
    quantized("digits (embedded)", None, weights, model.eval(), x[60:].numpy(), x[:60].numpy(), folder)


def digit(values):
    """As tools/digits/make.py prepares it."""
    ink = Image.fromarray(np.round(values * (255 / 16)).astype(np.uint8), "L")
    small = ink.resize((160, 160), Image.Resampling.BICUBIC).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
    return (x - mean[:, None, None]) / std[:, None, None]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--networks", default=",".join(NETWORKS))
parser.add_argument("--int8-networks", default="resnet18,resnet50,resnext50_32x4d")
arguments = parser.parse_args()
with tempfile.TemporaryDirectory() as path:
    bf16([name for name in arguments.networks.split(",") if name], pathlib.Path(path))
    print()
    int8([name for name in arguments.int8_networks.split(",") if name], pathlib.Path(path))
