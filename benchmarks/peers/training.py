"""Measures training steps of resnet4j and PyTorch: forward, backward, SGD with momentum.

Each engine runs in its own process with the same weights, input and targets; the initial losses are
compared. The engines alternate in each round, in reverse order in every second round; the medians over
all rounds are compared.
"""

import argparse
import datetime
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
POINTS = "resnet18:32:224,resnet50:32:224,resnet20:128:32"
TUNED = {  # by default glibc's malloc releases large blocks immediately, which costs a third of the speed
    "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "20000000000",
    "MALLOC_TOP_PAD_": "67108864", "MALLOC_ARENA_MAX": "1",
}


def step(name, file, threads, precision, compiled):
    """The process of a PyTorch engine: the same protocol as TrainingPeer's."""
    import numpy as np
    import torch
    import torchvision

    sys.path.insert(0, str(HERE.parents[1] / "tools" / "parity"))
    from networks import cifar

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = cifar(3) if name == "resnet20" else getattr(torchvision.models, name)()
    model = model.to(memory_format=torch.channels_last).train()
    x = torch.from_numpy(np.load(file)).to(memory_format=torch.channels_last)
    y = torch.arange(len(x)) % (10 if name == "resnet20" else 1000)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    call = torch.compile(model) if compiled else model

    def forward():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            return torch.nn.functional.cross_entropy(call(x), y)

    loss = forward()
    loss.backward()
    print(loss.item(), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            optimizer.zero_grad()
            forward().backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
        print(*seconds, flush=True)


class Engine:
    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=os.environ | (environment or {}))
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a peer ended at once: " + " ".join(map(str, command)))
        self.loss = float(line)

    def run(self, times):
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return list(map(float, self.process.stdout.readline().split()))

    def peak(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def java():
    for home in [os.environ.get("JAVA_HOME", ""), *map(str, sorted(pathlib.Path("/usr/lib/jvm").glob("*")))]:
        if home and (pathlib.Path(home) / "release").exists():
            for line in (pathlib.Path(home) / "release").read_text().splitlines():
                if line.startswith("JAVA_VERSION=") and int(line.split('"')[1].split(".")[0]) >= 25:
                    return pathlib.Path(home) / "bin" / "java"
    sys.exit("needs a JDK 25: set JAVA_HOME")


def engines(name, file, arguments):
    target = HERE.parent / "target"
    ours = [java(), "--enable-native-access=ALL-UNNAMED", "-XX:+UseG1GC", "-XX:+UseTransparentHugePages", "-Xmx12g", "-cp",
            os.pathsep.join([str(target / "classes"), str(target / "lib" / "*")]),
            "io.github.resnet4j.benchmarks.TrainingPeer", name, file, arguments.threads, arguments.precision]
    theirs = [sys.executable, __file__, "--step", name, "--file", file, "--threads", arguments.threads,
              "--precision", arguments.precision]
    made = {
        "resnet4j": lambda: Engine(ours),
        "eager": lambda: Engine(theirs),
        "eager, malloc tuned": lambda: Engine(theirs, TUNED),
        "torch.compile": lambda: Engine([*theirs, "--compiled"], TUNED),
    }
    without = set(filter(None, arguments.without.split(",")))
    return {key: make() for key, make in made.items() if key not in without}


def measure(name, batch, size, arguments):
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "x.npy"
        np.save(file, np.random.default_rng(1).standard_normal((batch, 3, size, size), dtype=np.float32))
        ready = engines(name, file, arguments)
        first = ready["resnet4j"].loss
        for key, engine in ready.items():
            # Rounding errors through a hundred layers; bfloat16 has 8 bits.
            if abs(engine.loss - first) > (1e-2 if arguments.precision == "bf16" else 1e-3) * first:
                sys.exit(f"{name}: the first loss of {key} is {engine.loss}, resnet4j's {first}")
            engine.run(2)
        seconds = {key: [] for key in ready}
        for round_ in range(arguments.rounds):
            for key in list(ready) if round_ % 2 == 0 else reversed(list(ready)):
                times = max(1, round(arguments.seconds / (min(seconds[key]) if seconds[key] else 1)))
                seconds[key] += ready[key].run(times)
        peaks = {key: engine.peak() for key, engine in ready.items()}
        for engine in ready.values():
            engine.close()
    return {key: batch / statistics.median(values) for key, values in seconds.items()}, peaks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", default=POINTS, help="network:batch:size, separated by commas")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: PyTorch's autocast")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="measurement time of each engine per round")
    parser.add_argument("--without", default="", help="engines to exclude, with the names in the table")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step(arguments.step, arguments.file, arguments.threads, arguments.precision, arguments.compiled)
        return
    header = None
    print(f"{datetime.date.today()}, {arguments.threads} threads, {arguments.precision}; images/s of training steps, medians; peak MiB")
    for point in arguments.points.split(","):
        name, batch, size = point.split(":")
        rates, peaks = measure(name, int(batch), int(size), arguments)
        if header is None:
            header = list(rates)
            titles = ["network", "batch", *header, "resnet4j / best peer", *(f"{key}, MiB" for key in header)]
            print("| " + " | ".join(titles) + " |")
            print("| --- " * len(titles) + "|")
        best = max(rate for key, rate in rates.items() if key != "resnet4j")
        cells = [f"{rates[key]:.1f}" for key in header] + [f"{rates['resnet4j'] / best:.2f}"]
        cells += [str(peaks[key]) for key in header]
        print(f"| {name}, {size}×{size} | {batch} | " + " | ".join(cells) + " |", flush=True)


main()
