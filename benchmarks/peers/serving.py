"""Measures the server under load and compares it with Python servers on the same cores: requests per
second and latency percentiles for several numbers of clients, each with one request at a time. Needs
wrk.

    benchmarks/peers/run serving [--seconds 10] [--clients 1,8,64,256] [--rounds 1]
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
POST = """
wrk.method = "POST"
local file = io.open("{image}", "rb")
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{type}"
wrk.headers["Inference-Header-Content-Length"] = "{header}"
"""
HEADER = b'{"inputs":[{"name":"images","datatype":"FP32","shape":[1,3,224,224],"parameters":{"binary_data_size":602112}}],"outputs":[{"name":"logits","parameters":{"binary_data":true}}]}'


def image(folder):
    """500 by 375 pixels with some structure: about 40 kB."""
    y, x = np.mgrid[0:375, 0:500]
    noise = np.random.default_rng(0).normal(0, 12, (375, 500, 3))
    waves = np.stack([128 + 90 * np.sin(x / a + y / b) for a, b in ((17, 31), (23, 11), (41, 29))], 2)
    file = folder / "image.jpg"
    Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8)).save(file, quality=85)
    return file


def wait(port, path, file):
    until = time.time() + 180
    while time.time() < until:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", file.read_bytes(), {"Content-Type": "image/jpeg"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"no server answers on port {port}")


def load(port, path, script, clients, seconds):
    done = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "--latency", "-s", script,
                           f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout  # fmt: skip
    unit = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])
    ms = {int(p): float(v) * unit[u] for p, v, u in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s|m)\b", done)}
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    errors = re.search(r"Socket errors: (.*)", done)
    return rate, ms[50], ms[90], ms[99], (bad[1] if bad else "0") + (f" ({errors[1]})" if errors else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--clients", default="1,8,64,256")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--engines", default="resnet4j;resnet4j, tensors;onnxruntime;torch")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = image(folder)
        images, tensors = folder / "images.lua", folder / "tensors.lua"
        images.write_text(POST.format(image=file, type="image/jpeg", header=""))
        (folder / "tensor").write_bytes(HEADER + np.random.default_rng(0).normal(size=(3, 224, 224)).astype(np.float32).tobytes())
        tensors.write_text(POST.format(image=folder / "tensor", type="application/octet-stream", header=len(HEADER)))
        torch.manual_seed(0)
        model = torchvision.models.resnet50().eval()
        torch.save(model.state_dict(), folder / "resnet50.pth")
        subprocess.run([ROOT / "resnet4j", "export", folder / "resnet50.onnx", "-m", "resnet50", "-w", folder / "resnet50.pth",
                        "--dynamic-batch", "--fold-bn"], check=True, capture_output=True)  # fmt: skip
        peer = [sys.executable, str(Path(__file__).parent / "serving_peer.py")]
        servers = {
            "resnet4j, tensors": (8771, "/v2/models/resnet50/infer", []),
            "resnet4j": (8771, "/classify", [ROOT / "resnet4j", "serve", "-m", "resnet50", "-w", folder / "resnet50.pth", "-p", "8771",
                                             "--grpc-port", "-1", "--queue-size", "1024", "--access-log", folder / "log"]),
            "onnxruntime": (8772, "/predict", [*peer, "onnxruntime", "8772", folder / "resnet50.onnx"]),
            "torch": (8773, "/predict", [*peer, "torch", "8773", folder / "resnet50.pth"]),
        }  # fmt: skip
        servers["resnet4j, tensors"] = (*servers["resnet4j, tensors"][:2], servers["resnet4j"][2])
        for _ in range(arguments.rounds):
            for engine in arguments.engines.split(";"):
                port, path, command = servers[engine]
                process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
                try:
                    script = tensors if "tensors" in engine else images
                    wait(port, "/classify" if engine.startswith("resnet4j") else path, file)
                    load(port, path, script, 8, 5)
                    for clients in map(int, arguments.clients.split(",")):
                        found = load(port, path, script, clients, arguments.seconds)
                        results.setdefault((engine, clients), []).append(found)
                        print(f"{engine:17} {clients:4} clients {found[0]:7.1f} /s  p50 {found[1]:7.1f} ms  p90 {found[2]:7.1f}  p99 {found[3]:7.1f}  failed {found[4]}", flush=True)
                finally:
                    subprocess.run(["pkill", "-TERM", "-g", str(process.pid)], check=False)
                    process.wait(60)
    print("\n| server | clients | requests/s | p50 ms | p90 ms | p99 ms |\n| --- | --- | --- | --- | --- | --- |")
    for (engine, clients), rows in results.items():
        print(f"| {engine} | {clients} | " + " | ".join(f"{median(row[i] for row in rows):.1f}" for i in range(4)) + " |")


if __name__ == "__main__":
    main()
