"""Measures resnet4j, OpenVINO, ONNX Runtime and PyTorch on the same network, batch and threads.

The engines alternate in each round, in reverse order in every second round, so that other load on
the machine affects all of them; the medians over all rounds are compared. All engines get the same
weights and input, and their logits are compared with PyTorch's.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).resolve().parent
NETWORKS = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2",
    "resnext50_32x4d", "resnext101_32x8d",
]
# Our two kernel providers, with their JVM flags.
OURS = {
    "machine": ["--enable-native-access=ALL-UNNAMED"],
    "vector": ["--add-modules=jdk.incubator.vector", "-XX:CompileThresholdScaling=0.1"],
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--networks", default=",".join(NETWORKS))
parser.add_argument("--batches", default="1,16")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument(
    "--precision", choices=["fp32", "bf16", "int8"], default="fp32",
    help="precision of all engines; int8 is calibrated with the input")
parser.add_argument("--rounds", type=int, default=6)
parser.add_argument("--seconds", type=float, default=1.0, help="measurement time of each engine per round")
parser.add_argument("--without", default="", help="engines to exclude, with the names in the table")
parser.add_argument("--json", help="also write all medians to this file")
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import numpy as np  # noqa: E402  (after the number of threads is set)
import onnxruntime  # noqa: E402
import openvino  # noqa: E402
import onnxruntime.quantization as quantization  # noqa: E402
import onnxruntime.quantization.shape_inference  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402

torch.set_num_threads(arguments.threads)
torch.set_grad_enabled(False)
without = set(filter(None, arguments.without.split(",")))


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


class Ours:
    def __init__(self, kernels, name, folder):
        command = [
            java(), *OURS[kernels], f"-Dresnet4j.kernels={kernels}", "-XX:+UseG1GC", "-cp", class_path(), "io.github.resnet4j.benchmarks.Peer",
            name, folder / "weights.pth", folder / "x.npy", folder / "y.npy", str(arguments.threads),
            arguments.precision,
        ]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.kernels = self.process.stdout.readline().strip()
        self.folder = folder

    def logits(self):
        return np.load(self.folder / "y.npy")

    def run(self, times):
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return list(map(float, self.process.stdout.readline().split()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Python:
    def __init__(self, call):
        self.call = call

    def logits(self):
        return np.asarray(self.call())

    def run(self, times):
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            self.call()
            seconds.append(time.perf_counter() - start)
        return seconds

    def close(self):
        pass


def onnx_runtime(file, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Python(lambda: session.run(None, {name: x})[0])


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


def open_vino(file, x, hint, streams):
    """With several streams the batch is split into concurrent requests."""
    core = openvino.Core()
    model = core.read_model(file)
    if arguments.precision == "int8":
        model.reshape([1, *x.shape[1:]])
        model = quantized_by_nncf(model, x)
        model.reshape(x.shape)
    if streams > 1:
        model.reshape([x.shape[0] // streams, *x.shape[1:]])
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "bf16" if arguments.precision == "bf16" else "f32", "PERFORMANCE_HINT": hint,
        "INFERENCE_NUM_THREADS": arguments.threads, "NUM_STREAMS": streams})
    requests = [compiled.create_infer_request() for _ in range(streams)]
    parts = [np.ascontiguousarray(part) for part in np.split(x, streams)]

    def call():
        for request, part in zip(requests, parts):
            request.start_async([part])
        for request in requests:
            request.wait()
        return np.concatenate([request.get_output_tensor(0).data for request in requests])

    return Python(call)


def compiled(network, x):
    import torch._inductor.config

    torch._inductor.config.freezing = True
    return eager(torch.compile(network), x)


def eager(call, x):
    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            return call(x).float().numpy()

    return Python(run)


def engines(name, batch, folder):
    torch.manual_seed(0)
    build = getattr(torchvision.models, name, None) or (lambda: timm.create_model(name))
    network = build().eval()
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(batch, 3, 224, 224, generator=generator)
    torch.save(network.state_dict(), folder / "weights.pth")
    np.save(folder / "x.npy", x.numpy())
    file = str(folder / "network.onnx")
    torch.onnx.export(
        network, (x,), file, dynamo=False, opset_version=17, input_names=["x"],
        dynamic_axes={"x": {0: "n"}} if arguments.precision == "int8" else None)
    last = network.to(memory_format=torch.channels_last)
    x_last = x.to(memory_format=torch.channels_last)
    made = {
        "machine": lambda: Ours("machine", name, folder),
        "vector": lambda: Ours("vector", name, folder),
        "openvino latency": lambda: open_vino(file, x.numpy(), "LATENCY", 1),
        "openvino throughput": lambda: open_vino(file, x.numpy(), "THROUGHPUT", 1),
        "openvino 2 streams": lambda: open_vino(file, x.numpy(), "THROUGHPUT", 2) if batch > 1 else None,
        "onnxruntime": lambda: onnx_runtime(
            quantized_by_onnx_runtime(file, x.numpy()) if arguments.precision == "int8" else file, x.numpy()),
        "torch.compile": lambda: compiled(last, x_last),
        "torch eager": lambda: eager(last, x_last),
    }
    # These engines do not support this precision on CPUs.
    without_it = {
        "fp32": [],
        "bf16": ["vector", "onnxruntime"],
        "int8": ["vector", "torch.compile", "torch eager"],
    }[arguments.precision]
    without.update(without_it)
    return last(x_last).numpy(), {key: make() for key, make in made.items() if key not in without}


def measure(name, batch):
    with tempfile.TemporaryDirectory() as path:
        expected, all_engines = engines(name, batch, pathlib.Path(path))
        ready = {key: engine for key, engine in all_engines.items() if engine is not None}
        times = {}
        for key, engine in ready.items():
            logits = engine.logits()
            error = np.abs(logits - expected).max() / np.abs(expected).max()
            # Tolerances for fp32, bf16 and int8.
            if not error < {"fp32": 1e-4, "bf16": 0.05, "int8": 0.3}[arguments.precision]:
                sys.exit(f"{name}: {key} is wrong, relative error {error}")
            # The Vector API needs seconds until JIT compilation is complete; the others a few runs.
            warm = time.time() + (12 if key == "vector" else 2)
            one = engine.run(1)[0]
            while time.time() < warm:
                one = engine.run(1)[0]
            times[key] = max(1, round(arguments.seconds / one))
        seconds = {key: [] for key in ready}
        for round_ in range(arguments.rounds):
            order = list(ready)
            for key in order if round_ % 2 == 0 else reversed(order):
                seconds[key] += ready[key].run(times[key])
        for engine in ready.values():
            engine.close()
    return {key: batch / statistics.median(values) for key, values in seconds.items()}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    batches = list(map(int, arguments.batches.split(",")))
    print(f"{datetime.date.today()}, {processor()}, {arguments.threads} threads, {arguments.precision}, 224x224; images/s, medians")
    print(f"PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__.split('-')[0]}")
    print()
    header = None
    results = {}
    for name in arguments.networks.split(","):
        for batch in batches:
            rates = measure(name, batch)
            results[f"{name} {batch}"] = rates
            if header is None:
                ours = [key for key in OURS if key not in without]
                header = ["openvino latency", "openvino throughput", "openvino 2 streams", "onnxruntime", "torch.compile", "torch eager"]
                header = [key for key in header if key not in without]
                titles = ["network", "batch", *ours, *header, *(f"{key} / best peer" for key in ours)]
                print("| " + " | ".join(titles) + " |")
                print("| --- " * len(titles) + "|")
            best = max(rate for key, rate in rates.items() if key not in OURS)
            cells = [f"{rates[key]:.1f}" if key in rates else "" for key in ours + header]
            cells += [f"{rates[key] / best:.2f}" for key in ours]
            print(f"| {name} | {batch} | " + " | ".join(cells) + " |", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")


main()
