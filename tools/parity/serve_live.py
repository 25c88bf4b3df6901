"""Starts the server, sends requests with Triton's clients over HTTP and gRPC, and compares the results
with those of the command.

    tools/parity/run serve
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tritonclient.grpc
import tritonclient.http

ROOT = Path(__file__).resolve().parents[2]
FAILURES = []


def report(what, good, detail=""):
    print(f"{'ok  ' if good else 'FAIL'} {what:<56} {detail}", flush=True)
    if not good:
        FAILURES.append(what)


def expected(folder, x):
    np.save(folder / "x.npy", x)
    subprocess.run([ROOT / "resnet4j", "forward", "--weights", ROOT / "core/src/main/resources/io/github/resnet4j/digits.pth", "--input",
                    folder / "x.npy", "--output", folder / "y.npy"], check=True)  # fmt: skip
    return np.load(folder / "y.npy")


def checks(client, module, name, folder):
    report(f"{name}: live, ready, model ready", client.is_server_live() and client.is_server_ready() and client.is_model_ready("digits"))
    metadata = client.get_model_metadata("digits")
    inputs = metadata["inputs"] if isinstance(metadata, dict) else metadata.inputs
    report(f"{name}: metadata", len(inputs) == 2)
    x = np.random.default_rng(1).standard_normal((3, 3, 32, 32), dtype=np.float32)
    y = expected(folder, x)
    for binary in (True, False) if module is tritonclient.http else (True,):
        options = {"binary_data": binary} if module is tritonclient.http else {}
        tensor = module.InferInput("images", x.shape, "FP32")
        tensor.set_data_from_numpy(x, **options)
        outputs = [module.InferRequestedOutput(each, **options) for each in ("logits", "probabilities", "embedding")]
        result = client.infer("digits", [tensor], outputs=outputs, request_id="r1", model_version="1")
        error = np.abs(result.as_numpy("logits") - y).max() / np.abs(y).max()
        report(f"{name}: logits, binary {binary}", error <= 1e-5, f"relative error {error:.1e}")
        report(f"{name}: probabilities add up", np.allclose(result.as_numpy("probabilities").sum(1), 1, atol=1e-5))
        report(f"{name}: embedding", result.as_numpy("embedding").shape == (3, 64))
    files = [(ROOT / f"samples/digit-{d}.png").read_bytes() for d in range(10)]
    images = module.InferInput("encoded_images", [10], "BYTES")
    images.set_data_from_numpy(np.array(files, dtype=object))
    found = client.infer("digits", [images]).as_numpy("logits").argmax(1)
    report(f"{name}: ten images as BYTES", found.tolist() == list(range(10)), found.tolist())
    bad = module.InferInput("images", [1, 3, 8, 8], "FP32")
    bad.set_data_from_numpy(np.zeros((1, 3, 8, 8), np.float32))
    try:
        client.infer("digits", [bad])
        report(f"{name}: a wrong shape is rejected", False)
    except module.InferenceServerException as e:
        report(f"{name}: a wrong shape is rejected", "must have the shape [N, 3, 32, 32]" in e.message(), e.message())


def main():
    server = subprocess.Popen([ROOT / "resnet4j", "serve", "--port", "0", "--grpc-port", "0", "--access-log", "/dev/null"],
                              stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        host, http, grpc = next(m.groups() for line in server.stderr if (m := re.search(r"listening at http://(\S+):(\d+), gRPC at port (\d+)", line)))
        with tempfile.TemporaryDirectory() as folder:
            for module, name, port in ((tritonclient.http, "HTTP", http), (tritonclient.grpc, "gRPC", grpc)):
                with module.InferenceServerClient(f"{host}:{port}") as client:
                    checks(client, module, name, Path(folder))
        print(json.dumps({"failed": FAILURES}) if FAILURES else "all of it agrees")
    finally:
        server.terminate()
        server.wait(60)
    report("the server ends when asked to", server.returncode in (0, 143), server.returncode)
    sys.exit(bool(FAILURES))


if __name__ == "__main__":
    main()
