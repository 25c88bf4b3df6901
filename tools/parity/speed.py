"""Decoding and preprocessing: milliseconds a picture here and in Pillow with torchvision.

    ./resnet4j models > /dev/null && tools/parity/.venv/bin/python tools/parity/speed.py

One thread each, medians of 101 after 200 for warming up, alternating between the two.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import skimage
import torch
from PIL import Image
from torchvision.transforms._presets import ImageClassification

ROOT = Path(__file__).resolve().parents[2]


def median(task):
    times = []
    for i in range(-200, 101):
        start = time.perf_counter()
        task()
        if i >= 0:
            times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[50]


def theirs(file):
    data = Path(file).read_bytes()
    image = Image.open(io.BytesIO(data)).convert("RGB")
    transform = ImageClassification(crop_size=224)
    decode = median(lambda: Image.open(io.BytesIO(data)).convert("RGB"))
    return decode, median(lambda: transform(image))


def ours(java, files):
    jars = ROOT / "cli/target/distribution/resnet4j/lib/*"
    command = [java, "-cp", str(jars), str(ROOT / "tools/parity/Speed.java"), *files]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {f: tuple(map(float, t)) for f, *t in (line.split() for line in lines)}


def main():
    torch.set_num_threads(1)
    java = os.path.join(os.environ["JAVA_HOME"], "bin/java") if "JAVA_HOME" in os.environ else "java"
    photo = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for width, height in [(500, 375), (1600, 1200)]:
            files.append(f"{folder}/{width}x{height}.jpg")
            photo.resize((width, height), Image.Resampling.BICUBIC).save(files[-1], quality=85)
        rounds = [(ours(java, files), {f: theirs(f) for f in files}) for _ in range(3)]
        print("picture         step        here   Pillow   ratio")
        for file in files:
            for step, name in enumerate(["decode", "preprocess"]):
                a = sorted(r[0][file][step] for r in rounds)[1]
                b = sorted(r[1][file][step] for r in rounds)[1]
                print(f"{Path(file).stem:<15} {name:<10} {a:6.2f}   {b:6.2f}   {b / a:5.2f}")


if __name__ == "__main__":
    sys.exit(main())
