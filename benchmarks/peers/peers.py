"""Measures resnet4j, OpenVINO, ONNX Runtime and PyTorch on the same network, batch and threads.

The engines alternate in each round, in reverse order in every second round, so that other load on
the machine affects all of them; the medians over all rounds are compared. All engines get the same
weights and input, and their logits are compared with PyTorch's.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
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
import torch  # noqa: E402

import engines  # noqa: E402

torch.set_num_threads(arguments.threads)
torch.set_grad_enabled(False)
without = set(filter(None, arguments.without.split(",")))


class Ours:
    def __init__(self, kernels, name, folder):
        command = [
            engines.java(), *OURS[kernels], f"-Dresnet4j.kernels={kernels}", "-XX:+UseG1GC", "-cp", engines.class_path(), "io.github.resnet4j.benchmarks.Peer",
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
    if arguments.precision == "int8":
        file = engines.quantized_by_onnx_runtime(file, x)
    run = engines.onnx_runtime(file, arguments.threads)
    return Python(lambda: run(x))


def open_vino(file, x, hint, streams):
    """With several streams the batch is split into concurrent requests."""
    model = engines.open_vino_model(file, x, arguments.precision)
    if arguments.precision == "int8" or streams > 1:
        model.reshape([x.shape[0] // streams, *x.shape[1:]])
    settings = engines.open_vino_settings(arguments.precision, arguments.threads, hint, streams)
    compiled = openvino.Core().compile_model(model, "CPU", settings)
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


def all_engines(name, batch, folder):
    network, x = engines.network(name, batch, folder)
    file = engines.onnx_file(network, x, folder, arguments.precision == "int8")
    last = network.to(memory_format=torch.channels_last)
    x_last = x.to(memory_format=torch.channels_last)
    made = {
        "machine": lambda: Ours("machine", name, folder),
        "vector": lambda: Ours("vector", name, folder),
        "openvino latency": lambda: open_vino(file, x.numpy(), "LATENCY", 1),
        "openvino throughput": lambda: open_vino(file, x.numpy(), "THROUGHPUT", 1),
        "openvino 2 streams": lambda: open_vino(file, x.numpy(), "THROUGHPUT", 2) if batch > 1 else None,
        "onnxruntime": lambda: onnx_runtime(file, x.numpy()),
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
        expected, made = all_engines(name, batch, pathlib.Path(path))
        ready = {key: engine for key, engine in made.items() if engine is not None}
        times = {}
        for key, engine in ready.items():
            error = engines.error(engine.logits(), expected)
            if not error < engines.TOLERANCE[arguments.precision]:
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


def main():
    batches = list(map(int, arguments.batches.split(",")))
    print(f"{datetime.date.today()}, {engines.processor()}, {arguments.threads} threads, {arguments.precision}, 224x224; images/s, medians")
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
