"""Parquet files written by Hugging Face's datasets and by pyarrow, and what datasets reads from them.

python parquet_sets.py FOLDER writes small files and expected.json: for each file the names of the classes, and
for each row the target and the SHA-256 of the RGB pixels. Needs datasets, numpy and Pillow.
"""
import hashlib
import io
import json
import os
import sys
import tempfile

import datasets
import numpy as np
import pyarrow.parquet
from PIL import Image

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
random = np.random.default_rng(1)


def image(i):
    pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG" if i % 2 else "JPEG")
    return {"bytes": out.getvalue(), "path": None if i == 3 else f"{i}.{'png' if i % 2 else 'jpg'}"}


def dataset(features, **columns):
    count = len(next(iter(columns.values())))
    columns = {"image": [image(i) for i in range(count)], **columns}
    return datasets.Dataset.from_dict(columns, features=datasets.Features({"image": datasets.Image(), **features}))


names = datasets.ClassLabel(names=["zebra", "ant", "0", "bee"])
one = dataset({"id": datasets.Value("int64"), "label": names}, id=[7, 8, 9, 10, 11, 12, 13], label=[2, 0, 1, 0, 3, 3, 1])
one.to_parquet(os.path.join(folder, "train-00000-of-00001.parquet"), batch_size=3)  # snappy, three row groups
several = dataset({"tags": datasets.Sequence(names)}, tags=[[2, 0], [], [1], [3, 1, 0]])
numbers = dataset({"age": datasets.Value("float64"), "count": datasets.Value("int32")}, age=[0.5, 2, -3], count=[4, 5, 6])
texts = dataset({"label": datasets.Value("string")}, label=["dog", "cat", "dog"])
for name, made, compression in [("several-zstd", several, "zstd"), ("numbers-none", numbers, "none"),
                                ("texts-gzip", texts, "gzip"), ("texts-snappy", texts, "snappy")]:
    with tempfile.TemporaryDirectory() as place:
        made.to_parquet(os.path.join(place, "a.parquet"))
        table = pyarrow.parquet.read_table(os.path.join(place, "a.parquet"))
    pyarrow.parquet.write_table(table, os.path.join(folder, name + ".parquet"), row_group_size=2, compression=compression)

expected = {}
for name in sorted(os.listdir(folder)):
    if not name.endswith(".parquet"):
        continue
    read = datasets.load_dataset("parquet", data_files=os.path.join(folder, name), split="train",
                                 cache_dir=tempfile.mkdtemp())
    label = read.features.get("label", read.features.get("tags"))
    label = getattr(label, "feature", label)
    rows = [
        {"target": {key: value for key, value in row.items() if key not in ("image", "id")},
         "pixels": hashlib.sha256(np.asarray(row["image"].convert("RGB")).tobytes()).hexdigest()}
        for row in read
    ]
    expected[name] = {"classes": getattr(label, "names", None), "rows": rows}
with open(os.path.join(folder, "expected.json"), "w") as out:
    json.dump(expected, out, indent=1)
