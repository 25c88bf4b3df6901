"""Compares all pixels of generated image files with Pillow's.

    tools/parity/run images [FORMAT…] [--keep FOLDER]

The files are written by Pillow, ImageMagick, cwebp, and by encoders in image_files.py for features
that these do not support; some are corrupt. Needs `convert` and `cwebp`, and the built distribution
(mvn package).
"""

import argparse
import collections
import hashlib
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from image_files import FORMATS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# Read by us but not by Pillow: text and profiles beyond 1 MB, data after the last sample.
LENIENT = {"pnm"}


def theirs(file):
    try:
        with open(file, "rb") as opened:  # as torchvision does; Pillow maps a file that it opens itself
            rgb = np.asarray(Image.open(opened).convert("RGB"))
    except Exception as error:  # Pillow raises exceptions of many types
        return f"rejected: {error!r}"
    return f"{rgb.shape[1]}x{rgb.shape[0]} {hashlib.sha256(rgb.tobytes()).hexdigest()}"


def ours(folder):
    java = os.path.join(os.environ["JAVA_HOME"], "bin/java") if "JAVA_HOME" in os.environ else "java"
    classes = ROOT / "cli/target/distribution/resnet4j/lib/*"
    command = [java, "-Xmx256m", "-cp", str(classes), str(ROOT / "tools/parity/Decode.java"), str(folder)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("\t") for line in lines)


def verdict(format_name, our, their):
    if our == their:
        return "equal"
    rejected = our.startswith("rejected"), their.startswith("rejected")
    if all(rejected):
        return "rejected by both"
    if rejected[0] and "is not supported" in our:
        return "not supported"
    if rejected[1] and format_name in LENIENT:
        return "read by us only"
    return "DIFFERENT"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--keep", type=Path, help="keep the generated files in this folder")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.formats:
            folder = (arguments.keep or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            for file, data in FORMATS[name]():
                (folder / file).write_bytes(data)
            counts = collections.Counter()
            for file, our in ours(folder).items():
                their = theirs(folder / file)
                result = verdict(name, our, their)
                counts[result] += 1
                if result == "DIFFERENT":
                    print(f"  {file}: resnet4j {our}, Pillow {their}")
            print(f"{name}: {counts.total()} files, {dict(counts)}", flush=True)
            failed |= counts["DIFFERENT"] > 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
