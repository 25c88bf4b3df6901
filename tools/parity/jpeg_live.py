"""Compares our JPEG decoder with Pillow and torchvision on generated and corrupt files.

    ./resnet4j models > /dev/null && tools/parity/run jpeg [--count 2400] [--damaged 5000] [--keep FOLDER]
    tools/parity/run jpeg --golden      writes core/src/test/resources/golden/jpeg.zip and jpeg.json

Needs cjpeg and jpegtran (Debian: libjpeg-turbo-progs) and ImageMagick's convert. All samples of
all files must equal Pillow's, with machine code and with plain loops. For corrupt files the result must agree
with Pillow's, read or rejected, in 99 of 100 cases.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import skimage
import torch
import torchvision
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "core/src/test/resources/golden"
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 48, 63, 64, 65, 67]
HEIGHTS = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100, 130]
FACTORS = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4", "3x1", "1x3", "3x2", "2x2,1x2", "2x2,2x1"]
FACTORS += ["2x2,1x1,2x2", "1x1,2x2,2x2", "2x1,1x1,2x1", "4x2,2x1", "2x4,1x2,2x2", "1x2,2x1,1x1"]
# Scans of each component alone; of progressive files, complete and not.
SCANS = {
    "L": ["0: 0-0,0,0; 0: 1-9,0,2;", "0: 0-0,0,1; 0: 1-63,0,0;", "0: 0-0,0,3;"],
    "RGB": [
        "0; 1; 2;",
        "0,1,2: 0-0,0,2; 0: 1-63,0,1; 1: 1-63,0,0; 2: 1-63,0,0; 0,1,2: 0-0,2,1; 0,1,2: 0-0,1,0; 0: 1-63,1,0;",
        "0,1,2: 0-0,0,0; 0: 1-9,0,2;",
        "0,1,2: 0-0,0,1;",
        "0,1,2: 0-0,0,0; 0: 1-5,0,2; 1: 1-63,0,1; 2: 1-63,0,1; 0: 6-63,0,2; 0: 1-63,2,1;",
        "0: 0-0,0,1; 1: 0-0,0,1; 2: 0-0,0,0; 0: 1-63,0,3;",
    ],
}


def image(photo, random_, width, height, mode):
    if random_.random() < 0.2:
        noise = np.random.default_rng(random_.randrange(1 << 30))
        image = Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
    else:
        left, top = random_.randrange(400), random_.randrange(400)
        image = photo.crop((left, top, 512, 512)).resize((width, height), Image.Resampling.BICUBIC)
    return image.convert(mode)


def by_pillow(image, random_):
    options = {
        "quality": random_.randint(1, 100),
        "progressive": random_.random() < 0.4,
        "optimize": random_.random() < 0.4,
    }
    if random_.random() < 0.3:
        options["restart_marker_blocks"] = random_.choice([1, 2, 3, 7, 50])
    if image.mode == "RGB" and random_.random() < 0.1:
        options["keep_rgb"] = True
    elif image.mode != "L":
        options["subsampling"] = random_.choice([0, 1, 2])
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def run(command, data):
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def by_cjpeg(image, random_):
    command = ["cjpeg", "-quality", str(random_.randint(1, 100))]
    if random_.random() < 0.4:
        command += ["-progressive"]
    if random_.random() < 0.4:
        command += ["-optimize"]
    if random_.random() < 0.3:
        command += ["-restart", random_.choice(["1B", "3B", "1", "2"])]
    if image.mode == "RGB":
        command += ["-rgb"] if random_.random() < 0.15 else ["-sample", random_.choice(FACTORS)]
    pixels = io.BytesIO()
    image.save(pixels, "PPM")
    if random_.random() > 0.25:
        return run(command, pixels.getvalue())
    with tempfile.NamedTemporaryFile("w") as scans:
        scans.write(random_.choice(SCANS[image.mode]))
        scans.flush()
        return run([*command, "-scans", scans.name], pixels.getvalue())


def by_jpegtran(image, random_):
    change = random_.choice([["-progressive"], ["-rotate", "90"], ["-flip", "vertical"], ["-optimize"], ["-grayscale"]])
    return run(["jpegtran", *change], by_cjpeg(image, random_))


def by_imagemagick(image, random_):
    pixels = io.BytesIO()
    image.save(pixels, "PPM")
    options = ["-quality", str(random_.randint(1, 100)), "-interlace", random_.choice(["none", "plane"])]
    options += ["-sampling-factor", random_.choice(["1x1", "2x1", "2x2", "1x2", "4x1"])]
    return run(["convert", "ppm:-", *options, "jpeg:-"], pixels.getvalue())


def segments(data):
    """The header segments, and the rest from the first scan on."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(bytearray(data[at:end]))
        at = end
    return found, bytearray(data[at:])


def relabel(data, random_):
    """Other words for the meaning of the components: JFIF and Adobe segments, ids, a profile."""
    found, rest = segments(data)
    if random_.random() < 0.6:
        found = [s for s in found if s[1] not in (0xE0, 0xEE)]
    if random_.random() < 0.5:
        transform = random_.choice([0, 1, 2, 7])
        found.insert(0, bytearray(b"\xff\xee\0\x0eAdobe\0d\0\0\0\0") + bytes([transform]))
    if random_.random() < 0.3:
        found.insert(0, bytearray(b"\xff\xe2\0\x20ICC_PROFILE\0\1\1" + bytes(16)))
    frame = next(s for s in found if s[1] in (0xC0, 0xC1, 0xC2))
    if frame[9] == 3 and random_.random() < 0.4 and rest[4] == 3:
        ids = random_.choice([b"RGB", b"\0\1\2", b"\1\2\3", b"YUV", b"rgb"])
        later = rest.find(b"\xff\xda", 2)
        if later < 0:  # one scan, whose components have the same names
            for i in range(3):
                frame[10 + 3 * i] = rest[5 + 2 * i] = ids[i]
    if random_.random() < 0.2:
        found.insert(random_.randrange(len(found)), bytearray(b"\xff" * random_.randint(1, 4) + b"\xfe\0\x04hi"))
    return bytes(data[:2]) + b"".join(map(bytes, found)) + bytes(rest) + random_.choice([b"", b"", b"trailing"])


def generated(count, seed):
    random_ = random.Random(seed)
    photo = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")
    made = 0
    while made < count:
        width, height = random_.choice(WIDTHS), random_.choice(HEIGHTS)
        if random_.random() < 0.01:
            width, height = random_.randrange(300, 1700), random_.randrange(300, 1300)
        mode = random_.choice(["RGB"] * 5 + ["L", "CMYK"])
        image = image(photo, random_, width, height, mode)
        encoders = [by_pillow, by_pillow, by_cjpeg, by_cjpeg, by_jpegtran, by_imagemagick]
        encode = by_pillow if mode == "CMYK" else random_.choice(encoders)
        try:
            data = encode(image, random_)
        except (subprocess.CalledProcessError, OSError):
            continue  # the encoder does not combine these options
        if random_.random() < 0.3:
            data = relabel(data, random_)
        made += 1
        yield f"{made:05}-{encode.__name__[3:]}-{mode}-{width}x{height}.jpg", data


def damaged(data, random_):
    data = bytearray(data)
    for _ in range(random_.choice([1, 1, 1, 2, 3])):
        at = random_.randrange(len(data))
        kind = random_.randrange(7)
        if kind < 2:
            data[at] ^= 1 << random_.randrange(8)
        elif kind == 2:
            data[at] = random_.randrange(256)
        elif kind == 3 and len(data) > 20:
            del data[at : at + random_.randrange(1, 6)]
        elif kind == 4:
            data[at:at] = random_.randbytes(random_.randrange(1, 6))
        elif kind == 5 and random_.random() < 0.5:
            del data[max(at, 4) :]
        elif kind == 6:
            data[at : at + 2] = bytes([0xFF, 0xC0 + random_.randrange(64)])
    return bytes(data)


def answer(size, pixels):
    return f"{size[0]}x{size[1]} {zlib.crc32(pixels)}"


def pillow(data, least=None):
    try:
        image = Image.open(io.BytesIO(data))
        if least:
            image.draft(None, least)
        image = image.convert("RGB")
        return answer(image.size, image.tobytes())
    except Exception as e:
        return f"refused: {e}"


def vision(data):
    try:
        coded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        image = torchvision.io.decode_jpeg(coded, torchvision.io.ImageReadMode.RGB)
    except RuntimeError as e:
        return f"refused: {e}"
    return answer((image.shape[2], image.shape[1]), image.permute(1, 2, 0).contiguous().numpy().tobytes())


def ours(lines, kernels):
    java = os.path.join(os.environ["JAVA_HOME"], "bin/java") if "JAVA_HOME" in os.environ else "java"
    jars = os.environ.get("RESNET4J_JARS", str(ROOT / "cli/target/distribution/resnet4j/lib/*"))
    flags = ["-Xmx512m", "--enable-native-access=ALL-UNNAMED", f"-Dresnet4j.kernels={kernels}"]
    command = [java, *flags, "-cp", jars, str(ROOT / "tools/parity/Jpegs.java")]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def same(a, b):
    return a == b or a.startswith("refused") and b.startswith("refused")


def compare(title, files, folder, expected, least, needed):
    lines = []
    for (name, data), low in zip(files, least):
        path = folder / name
        path.write_bytes(data)
        lines.append(f"{path}\t{low[0]}\t{low[1]}" if low else str(path))
    return all([agree(f"{title}, {k}", files, ours(lines, k), expected, needed) for k in ["machine", "scalar"]])


def agree(title, files, answers, expected, needed):
    assert len(answers) == len(files), "the Java side ended early"
    different = [(n, a, b) for (n, _), a, b in zip(files, answers, expected) if not same(a, b)]
    verdicts = sum(a.startswith("refused") != b.startswith("refused") for _, a, b in different)
    read = sum(not b.startswith("refused") for b in expected)
    print(f"{title}: {len(files)} files, {read} read by Pillow, {len(different)} differ, {verdicts} of them in the verdict")
    for name, a, b in different[:10]:
        print(f"  {name}: resnet4j {a}, Pillow {b}")
    return len(different) <= (1 - needed) * len(files)


def write_golden():
    files = []
    for name, data in generated(4000, 5):
        if len(data) < 900 and len(files) < 170:
            files.append((name, data))
    random_ = random.Random(6)
    broken = [("damaged-" + n, damaged(d, random_)) for n, d in files[:120]]
    answers = {}
    with zipfile.ZipFile(GOLDEN / "jpeg.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files + broken:
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
            whole = pillow(data)
            answers[name] = {"whole": "refused" if whole.startswith("refused") else whole}
            width, height = Image.open(io.BytesIO(data)).size if not whole.startswith("refused") else (0, 0)
            for reduction in [2, 4, 8]:
                if min(width, height) >= reduction and not name.startswith("damaged"):
                    low = (width // reduction, height // reduction)
                    answers[name]["%d %d" % low] = pillow(data, low)
    (GOLDEN / "jpeg.json").write_text(json.dumps(answers, indent=0, sort_keys=True) + "\n")
    print(len(answers), "files,", sum(p.stat().st_size for p in GOLDEN.glob("jpeg.*")), "bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2400)
    parser.add_argument("--damaged", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--golden", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.golden:
        return write_golden()
    files = list(generated(options.count, options.seed))
    random_ = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        expected = [pillow(data) for _, data in files]
        fine = compare("generated", files, folder, expected, [None] * len(files), 1)
        others = [vision(data) for _, data in files]
        alike = sum(a == b for a, b in zip(expected, others))
        print(f"torchvision.io.decode_jpeg gives Pillow's pixels for {alike} of them")
        least = []
        for _, data in files:
            width, height = Image.open(io.BytesIO(data)).size
            reduction = random_.choice([2, 4, 8])
            least.append((max(1, width // reduction), max(1, height // reduction)))
        drafts = [pillow(data, low) for (_, data), low in zip(files, least)]
        fine &= compare("drafts", files, folder, drafts, least, 1)
        small = [data for _, data in files if len(data) < 20000]
        broken = [(f"damaged-{i:05}.jpg", damaged(random_.choice(small), random_)) for i in range(options.damaged)]
        expected = [pillow(data) for _, data in broken]
        fine &= compare("damaged", broken, folder, expected, [None] * len(broken), 0.99)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
