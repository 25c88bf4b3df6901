"""Measures decoding and preprocessing in milliseconds per image: resnet4j, the JDK, and Pillow with torchvision.

    ./resnet4j models > /dev/null && tools/parity/.venv/bin/python tools/parity/speed.py

One thread each; medians of 101 calls after a warm-up (200 calls in Python, three seconds in the JVM), in
three rounds that alternate between the two. CPU time of the thread is measured, so that other load on the
machine matters less.
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
        start = time.thread_time()
        task()
        if i >= 0:
            times.append((time.thread_time() - start) * 1e3)
    return sorted(times)[50]


def theirs(file):
    data = Path(file).read_bytes()
    image = Image.open(io.BytesIO(data)).convert("RGB")
    transform = ImageClassification(crop_size=224)
    decode = median(lambda: Image.open(io.BytesIO(data)).convert("RGB"))
    return decode, median(lambda: transform(image))


def ours(java, files):
    jars = os.environ.get("RESNET4J_JARS", str(ROOT / "cli/target/distribution/resnet4j/lib/*"))
    command = [java, "--enable-native-access=ALL-UNNAMED", "-cp", jars, str(ROOT / "tools/parity/Speed.java"), *files]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {f: tuple(map(float, t)) for f, *t in (line.split() for line in lines)}


def main():
    torch.set_num_threads(1)
    java = os.path.join(os.environ["JAVA_HOME"], "bin/java") if "JAVA_HOME" in os.environ else "java"
    photo = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for width, height in [(500, 375), (1600, 1200)]:
            for kind in ["baseline", "progressive"]:
                files.append(f"{folder}/{width}x{height}-{kind}.jpg")
                resized = photo.resize((width, height), Image.Resampling.BICUBIC)
                resized.save(files[-1], quality=85, progressive=kind == "progressive")
        rounds = [(ours(java, files), {f: theirs(f) for f in files}) for _ in range(3)]

        def median_time(side, file, step):
            return sorted(r[side][file][step] for r in rounds)[1]

        print("image                  step     resnet4j     JDK   Pillow   Pillow / ours  JDK / ours")
        for file in files:
            for step, name in enumerate(["decode", "preprocess"]):
                ours, pillow = median_time(0, file, step), median_time(1, file, step)
                jdk = median_time(0, file, 2) if step == 0 else 0
                print(
                    f"{Path(file).stem:<22} {name:<10} {ours:6.2f} {f'{jdk:7.2f}' if jdk else '       '}"
                    f"   {pillow:6.2f}   {pillow / ours:13.2f}  {f'{jdk / ours:10.2f}' if jdk else ''}"
                )


if __name__ == "__main__":
    sys.exit(main())
