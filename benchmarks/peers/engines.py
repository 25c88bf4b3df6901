"""What the comparisons of inference share: the JVM, the network and its files, the other engines' sessions."""

import contextlib
import os
import pathlib
import platform
import sys

import numpy as np
import onnxruntime
import onnxruntime.quantization as quantization
import onnxruntime.quantization.shape_inference
import openvino
import timm
import torch
import torchvision

HERE = pathlib.Path(__file__).resolve().parent

# The largest relative error of the logits that is accepted.
TOLERANCE = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.3}


def java():
    """A JDK 25 and the flags of the launcher."""
    for home in [os.environ.get("JAVA_HOME", ""), *map(str, sorted(pathlib.Path("/usr/lib/jvm").glob("*")))]:
        release = pathlib.Path(home) / "release"
        if home and release.exists():
            for line in release.read_text().splitlines():
                if line.startswith("JAVA_VERSION=") and int(line.split('"')[1].split(".")[0]) >= 25:
                    return pathlib.Path(home) / "bin" / "java"
    sys.exit("needs a JDK 25: set JAVA_HOME")


def class_path():
    target = HERE.parent / "target"
    return os.pathsep.join([str(target / "classes"), str(target / "lib" / "*")])


def network(name, images, folder):
    """A network with seeded weights, and its inputs; writes weights.pth and x.npy.

    Returns the network and the inputs, [images, 3, 224, 224].
    """
    torch.manual_seed(0)
    build = getattr(torchvision.models, name, None) or (lambda: timm.create_model(name))
    network = build().eval()
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(images, 3, 224, 224, generator=generator)
    torch.save(network.state_dict(), folder / "weights.pth")
    np.save(folder / "x.npy", x.numpy())
    return network, x


def onnx_file(network, x, folder, any_batch):
    """Writes network.onnx, for the batch of x or for any batch."""
    file = str(folder / "network.onnx")
    torch.onnx.export(
        network, (x,), file, dynamo=False, opset_version=17, input_names=["x"],
        dynamic_axes={"x": {0: "n"}} if any_batch else None)
    return file


def onnx_runtime(file, threads):
    """A function from inputs to logits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


class Images(quantization.CalibrationDataReader):
    def __init__(self, name, x):
        self.left = [{name: x[i : i + 1]} for i in range(len(x))]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantized_by_onnx_runtime(file, x):
    """Weights per channel, activations per tensor, as the documentation advises for x86."""
    prepared, result = file + ".prepared.onnx", file + ".int8.onnx"
    quantization.shape_inference.quant_pre_process(file, prepared)
    quantization.quantize_static(
        prepared, result, Images("x", x), per_channel=True, quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)
    return result


def quantized_by_nncf(model, x):
    import nncf

    nncf.set_log_level(40)
    images = nncf.Dataset([x[i : i + 1] for i in range(len(x))])
    with contextlib.redirect_stdout(sys.stderr):  # stdout contains only the table
        return nncf.quantize(model, images, subset_size=len(x))


def open_vino_model(file, x, precision):
    """The network in this precision, as OpenVINO's compile_model takes it."""
    model = openvino.Core().read_model(file)
    if precision == "int8":
        model.reshape([1, *x.shape[1:]])
        model = quantized_by_nncf(model, x)
    return model


def open_vino_settings(precision, threads, hint, streams):
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "PERFORMANCE_HINT": hint,
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}


def error(logits, expected):
    return np.abs(logits - expected).max() / np.abs(expected).max()


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
