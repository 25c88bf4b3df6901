"""MLPerf LoadGen drives resnet4j, ONNX Runtime and OpenVINO with the same queries.

    benchmarks/peers/run loadgen [--network resnet50] [--precision fp32] [--seconds 10] [--bound 100]

Three scenarios, in performance mode; all figures are LoadGen's own:

- SingleStream: one image after the other; 90th and 99th percentile of the latency.
- Offline: all images are known at the start, and run in batches; samples per second.
- Server: images arrive at random times (Poisson); what waits is run as one batch. The largest rate
  whose 99th percentile stays below the bound is found by bisection.

All engines have the same weights, samples and threads; their logits are compared before, and the top-1
classes of all queries are counted. The engines alternate: one scenario, or one step of the search, for each.
resnet4j is a Java process that is connected with pipes, the others run in this process. MLPerf's rules
require runs of ten minutes and ImageNet, so these figures are not official results.
"""

import argparse
import datetime
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings

warnings.filterwarnings("ignore")
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--network", default="resnet50")
parser.add_argument("--precision", choices=["fp32", "bf16", "int8"], default="fp32")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--samples", type=int, default=32, help="number of different images; int8 is calibrated with them")
parser.add_argument("--batch", type=int, default=16, help="largest batch in the scenarios Offline and Server")
parser.add_argument("--seconds", type=float, default=10, help="time of each test of LoadGen")
parser.add_argument("--rounds", type=int, default=1, help="repetitions of SingleStream and Offline; medians are printed")
parser.add_argument("--steps", type=int, default=5, help="steps of the search in the scenario Server, 0: not measured")
parser.add_argument("--bound", type=float, default=100, help="latency that the 99th percentile may reach in Server, ms")
parser.add_argument("--engines", default="resnet4j,onnxruntime,openvino")
parser.add_argument("--logs", type=pathlib.Path, help="folder for LoadGen's own summaries")
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import mlperf_loadgen as lg  # noqa: E402  (after the number of threads is set)
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import openvino  # noqa: E402
import torch  # noqa: E402

import engines  # noqa: E402

torch.set_num_threads(arguments.threads)
torch.set_grad_enabled(False)


class Ours:
    """A Java process: a line of indices is a batch, the answer is a line of classes."""

    def __init__(self, folder):
        output = folder / "y.npy"
        command = [
            engines.java(), "--enable-native-access=ALL-UNNAMED", "-Dresnet4j.kernels=machine", "-XX:+UseG1GC",
            "-cp", engines.class_path(), "io.github.resnet4j.benchmarks.QueryPeer", arguments.network,
            folder / "weights.pth", folder / "x.npy", output, arguments.threads, arguments.precision,
        ]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if not self.process.stdout.readline():
            sys.exit("resnet4j did not start: " + " ".join(map(str, command)))
        self.logits = np.load(output)

    def run(self, indices):
        self.process.stdin.write(" ".join(map(str, indices)) + "\n")
        self.process.stdin.flush()
        return list(map(int, self.process.stdout.readline().split()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class InProcess:
    """An engine with Python bindings; call maps inputs to logits."""

    def __init__(self, call, x):
        self.call, self.x = call, x
        self.logits = np.concatenate([call(x[i : i + 1]) for i in range(len(x))])

    def run(self, indices):
        return self.call(self.x[indices]).argmax(1).tolist()

    def close(self):
        pass


def onnx_runtime(file, x):
    if arguments.precision == "bf16":
        return None  # not supported on CPUs
    if arguments.precision == "int8":
        file = engines.quantized_by_onnx_runtime(file, x)
    return InProcess(engines.onnx_runtime(file, arguments.threads), x)


def open_vino(file, x):
    """A compiled model for each power of two, since fixed shapes are faster; other batches are split."""
    model = engines.open_vino_model(file, x, arguments.precision)
    settings = engines.open_vino_settings(arguments.precision, arguments.threads, "LATENCY", 1)
    compiled = {}

    def call(batch):
        parts = []
        while len(batch):
            size = 1 << (len(batch).bit_length() - 1)
            if size not in compiled:
                model.reshape([size, *x.shape[1:]])
                compiled[size] = openvino.Core().compile_model(model, "CPU", settings)
            parts.append(compiled[size](np.ascontiguousarray(batch[:size]))[0])
            batch = batch[size:]
        return np.concatenate(parts)

    return InProcess(call, x)


class SystemUnderTest:
    """Answers LoadGen's queries: all that wait, in batches up to the largest."""

    def __init__(self, engine, expected):
        self.engine, self.expected = engine, expected
        self.queue = queue.SimpleQueue()
        self.answered = self.agreed = 0
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def issue(self, samples):
        # The samples belong to LoadGen only during this call.
        for sample in samples:
            self.queue.put((sample.id, sample.index))

    def work(self):
        while (sample := self.queue.get()) is not None:
            batch = [sample]
            while len(batch) < arguments.batch and not self.queue.empty():
                batch.append(self.queue.get())
            ended = batch[-1] is None
            batch = [sample for sample in batch if sample is not None]
            classes = self.engine.run([index for _, index in batch])
            lg.QuerySamplesComplete([lg.QuerySampleResponse(id_, 0, 0) for id_, _ in batch])
            self.answered += len(batch)
            self.agreed += sum(c == self.expected[index] for c, (_, index) in zip(classes, batch))
            if ended:
                return

    def close(self):
        self.queue.put(None)
        self.thread.join()


def test(engine, expected, scenario, name, folder, **settings):
    """Runs one test of LoadGen, returns its summary by key and the part of classes that agree."""
    chosen = lg.TestSettings()
    chosen.scenario, chosen.mode = scenario, lg.TestMode.PerformanceOnly
    chosen.min_duration_ms, chosen.min_query_count = round(arguments.seconds * 1000), 1
    for key, value in settings.items():
        setattr(chosen, key, value)
    output = lg.LogOutputSettings()
    output.outdir, output.prefix = str(folder), name.replace(" ", "_") + "_"
    output.copy_summary_to_stdout = False
    logs = lg.LogSettings()
    logs.log_output, logs.enable_trace = output, False
    system = SystemUnderTest(engine, expected)
    sut = lg.ConstructSUT(system.issue, lambda: None)
    qsl = lg.ConstructQSL(arguments.samples, arguments.samples, lambda _: None, lambda _: None)
    lg.StartTestWithLogSettings(sut, qsl, chosen, logs)
    system.close()
    lg.DestroyQSL(qsl)
    lg.DestroySUT(sut)
    summary = {}
    for line in (folder / f"{output.prefix}summary.txt").read_text().splitlines():
        key, colon, value = line.partition(":")
        if colon:
            summary.setdefault(key.strip(), value.strip())
    return summary, system.agreed / max(1, system.answered)


def milliseconds(summary, percentile):
    return float(summary[f"{percentile:.2f} percentile latency (ns)"]) * 1e-6


def main():
    print(f"{datetime.date.today()}, {engines.processor()}, {arguments.network}, {arguments.precision}, 224x224, {arguments.threads} threads, "
          f"batches up to {arguments.batch}, {arguments.seconds:g} s per test")
    print(f"LoadGen {lg_version()}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__.split('-')[0]}")
    with tempfile.TemporaryDirectory() as path:
        measure(pathlib.Path(path))


def lg_version():
    import importlib.metadata

    return importlib.metadata.version("mlcommons-loadgen")


def measure(folder):
    logs = arguments.logs or folder
    logs.mkdir(parents=True, exist_ok=True)
    network, x = engines.network(arguments.network, arguments.samples, folder)
    file = engines.onnx_file(network, x, folder, True)
    logits = np.concatenate([network(part).numpy() for part in x.split(arguments.batch)])
    classes = logits.argmax(1).tolist()
    make = {
        "resnet4j": lambda: Ours(folder), "onnxruntime": lambda: onnx_runtime(file, x.numpy()),
        "openvino": lambda: open_vino(file, x.numpy()),
    }
    made = {name: make[name]() for name in arguments.engines.split(",")}
    made = {name: engine for name, engine in made.items() if engine is not None}
    for name, engine in made.items():
        error = engines.error(engine.logits, logits)
        if not error < engines.TOLERANCE[arguments.precision]:
            sys.exit(f"{name} is wrong, relative error {error}")
        print(f"{name}: largest error of the logits {error:.1e} of the largest logit", flush=True)
        # Every batch size is compiled and tuned before the measurement.
        for size in range(1, arguments.batch + 1):
            engine.run(list(range(size)))
        until = time.time() + 2
        while time.time() < until:
            engine.run([0])

    single = {name: [] for name in made}
    offline = {name: [] for name in made}
    agreed = {name: [] for name in made}
    for round_ in range(arguments.rounds):
        order = list(made) if round_ % 2 == 0 else list(reversed(made))
        for name in order:
            summary, part = test(made[name], classes, lg.TestScenario.SingleStream, f"{name} SingleStream {round_}", logs)
            single[name].append([milliseconds(summary, p) for p in (50, 90, 99)])
            agreed[name].append(part)
        for name in order:
            expected = 1.5e3 / statistics.median(row[0] for row in single[name])
            summary, part = test(made[name], classes, lg.TestScenario.Offline, f"{name} Offline {round_}", logs, offline_expected_qps=expected)
            offline[name].append(float(summary["Samples per second"]))
            agreed[name].append(part)
    rate, latency = search(made, classes, {name: statistics.median(rates) for name, rates in offline.items()}, logs, agreed)
    for engine in made.values():
        engine.close()

    print(f"\n| engine | SingleStream p50, ms | p90 | p99 | Offline, samples/s | Server, queries/s with p99 <= {arguments.bound:g} ms | p99 at this rate, ms | top-1 as PyTorch fp32 |")
    print("| --- " * 8 + "|")
    for name in made:
        cells = [f"{statistics.median(row[i] for row in single[name]):.2f}" for i in range(3)]
        cells += [f"{statistics.median(offline[name]):.1f}", f"{rate[name]:.1f}" if rate[name] else "", f"{latency[name]:.1f}" if rate[name] else ""]
        print(f"| {name} | " + " | ".join(cells) + f" | {100 * statistics.mean(agreed[name]):.0f} % |")


def search(made, classes, highest, logs, agreed):
    """The largest rate of each engine in the scenario Server, between 0 and its rate in Offline."""
    low = dict.fromkeys(made, 0.0)
    high = dict(highest)
    latency = {}
    for step in range(arguments.steps):
        for name in made:
            # Rates near the largest are likely, so the first step is not the middle.
            rate = 0.8 * high[name] if step == 0 else (low[name] + high[name]) / 2
            summary, part = test(
                made[name], classes, lg.TestScenario.Server, f"{name} Server {step}", logs, server_target_qps=rate,
                server_target_latency_ns=round(arguments.bound * 1e6), server_target_latency_percentile=0.99)
            found = milliseconds(summary, 99)
            agreed[name].append(part)
            print(f"{name}: Server, {rate:.1f} queries/s: p99 {found:.1f} ms", file=sys.stderr, flush=True)
            if found <= arguments.bound:
                low[name], latency[name] = rate, found
            else:
                high[name] = rate
    return low, latency


main()
