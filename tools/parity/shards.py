"""Shards written by the webdataset package, and what it reads from them.

python shards.py FOLDER writes small tar files and expected.json: for each file its samples in order, each
with the key, the target, and the SHA-256 of the RGB pixels that Pillow decodes.
Needs webdataset, numpy and Pillow.
"""
import hashlib
import io
import json
import os
import sys

import numpy as np
import webdataset as wds
from PIL import Image

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
random = np.random.default_rng(0)


def image(form):
    pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    options = {"jpg": {"format": "JPEG"}, "png": {"format": "PNG"}, "webp": {"format": "WEBP", "lossless": True}}
    Image.fromarray(pixels).save(out, **options[form])
    return out.getvalue()


def write(name, samples, **options):
    with wds.TarWriter(os.path.join(folder, name), mtime=0, **options) as out:
        for sample in samples:
            out.write(sample)


write("train-000.tar", [{"__key__": f"a/{i:03}", "png": image("png"), "cls": i % 3} for i in range(5)])
write(
    "train-001.tar.gz",
    [{"__key__": f"b.x/{i:03}", "cls": (2 * i) % 5, form: image(form), "seg.png": image("png"), "txt": "a note"}
     for i, form in enumerate(["jpg", "webp", "png", "jpg"])],
    compress="gz",
)
write("val-000.tar.gz", [{"__key__": f"v{i}", "jpg": image("jpg"), "cls": i} for i in range(2)], compress="gz")
write("names.tar.gz", [{"__key__": f"{i}", "jpg": image("jpg"), "txt": t} for i, t in enumerate(["dog", "cat", "eel"])],
      compress="gz")
write("labels.tar.gz",
      [{"__key__": f"{i}", "png": image("png"), "json": {"labels": t}} for i, t in enumerate([["b", "a"], [], ["c"]])],
      compress="gz")
write("numbers.tar.gz",
      [{"__key__": f"{i}", "png": image("png"), "json": {"age": t, "size": 2 * t}} for i, t in enumerate([1.5, 30, -2])],
      compress="gz")

expected = {}
for name in sorted(os.listdir(folder)):
    if ".tar" not in name:
        continue
    samples = []
    for sample in wds.WebDataset(os.path.join(folder, name), shardshuffle=False):
        form = next(form for form in ("jpg", "png", "webp") if form in sample)
        pixels = np.asarray(Image.open(io.BytesIO(sample[form])).convert("RGB"))
        target = next(sample[each].decode() for each in ("cls", "json", "txt") if each in sample)
        samples.append({"key": sample["__key__"], "target": target, "pixels": hashlib.sha256(pixels.tobytes()).hexdigest()})
    expected[name] = samples
with open(os.path.join(folder, "expected.json"), "w") as out:
    json.dump(expected, out, indent=1)
