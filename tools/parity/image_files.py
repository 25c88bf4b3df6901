"""Generates image files of many kinds: written by encoders, by hand, and corrupt ones.

Each generator yields names and bytes; the same ones in every run.
"""

import io
import random
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

BICUBIC = Image.Resampling.BICUBIC


def photo(width, height):
    file = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return Image.open(file).convert("RGB").crop((100, 20, 380, 300)).resize((width, height), BICUBIC)


def noise(rng, count, most=256):
    return bytes(rng.choice((rng.randrange(most), 0, most - 1)) for _ in range(count))


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def damaged(rng, data, kind):
    """Truncates a file, or flips one or two bits."""
    if kind == 0:
        return data[: rng.randrange(4, len(data))]
    data = bytearray(data)
    for _ in range(kind):
        data[rng.randrange(2, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


# PNG

PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, content, checksum=None):
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def filtered(row, above, step, kind):
    out = bytearray([kind])
    for i, value in enumerate(row):
        a = row[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
    return bytes(out)


def png_file(rng, width, height, bits, kind, interlaced, before=b"", after=b"", piece=None):
    raw = b""
    for x, y, dx, dy in PASSES if interlaced else [(0, 0, 1, 1)]:
        columns = max(0, (width - x + dx - 1) // dx)
        length = (columns * bits * PNG_CHANNELS[kind] + 7) // 8
        above = bytes(length)
        for _ in range(y, height if columns else y, dy):
            row = noise(rng, length)
            raw += filtered(row, above, max(1, bits * PNG_CHANNELS[kind] // 8), rng.randrange(5))
            above = row
    packed = zlib.compress(raw, rng.choice((0, 1, 6, 9)))
    piece = piece or len(packed)
    data = b"".join(chunk(b"IDAT", packed[i : i + piece]) for i in range(0, len(packed), piece))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + before + data + after + chunk(b"IEND", b"")


def png():
    rng = random.Random(1)
    sizes = [(1, 1), (2, 3), (5, 4), (7, 9), (8, 8), (13, 1), (1, 13), (33, 17), (64, 3)]
    extras = [
        b"",
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(500))),
        chunk(b"zTXt", b"k\0\0" + zlib.compress(b"hello" * 1000)),
        chunk(b"prVt", b"abc"),
    ]
    for kind, depths in PNG_DEPTHS.items():
        for bits in depths:
            for number in range(40):
                width, height = sizes[number % len(sizes)]
                before = rng.choice(extras)
                if kind == 3:
                    before += chunk(b"PLTE", noise(rng, 3 * rng.randrange(1, (1 << bits) + 1)))
                if rng.random() < 0.5:
                    length = {0: 2, 2: 6, 3: rng.randrange(1, 3), 4: 2, 6: 6}[kind]
                    before += chunk(b"tRNS", noise(rng, length))
                after = rng.choice((b"", chunk(b"tEXt", b"a\0b"), chunk(b"teST", b"x", 0)))
                piece = rng.choice((None, 1, 7, 50))
                data = png_file(rng, width, height, bits, kind, number % 2, before, after, piece)
                if number % 4 == 3:
                    data = damaged(rng, data, rng.randrange(3))
                yield f"{kind}-{bits}-{number}.png", data + rng.choice((b"", b"more"))
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16"):
        image = photo(61, 43).convert("L" if mode == "I;16" else mode).convert(mode)
        yield f"pillow-{mode.replace(';', '')}.png", saved(image, "PNG")
    frames = [photo(20, 20), photo(20, 20).rotate(90)]
    yield "animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


# GIF


def lzw(data, bits, clear_every):
    clear, out, held, count = 1 << bits, bytearray(), 0, 0
    table, following, width = {}, 0, 0

    def restart():
        return {bytes([i]): i for i in range(min(256, clear))}, clear + 2, bits + 1

    def emit(code):
        nonlocal held, count
        held |= code << count
        count += width
        while count >= 8:
            out.append(held & 255)
            held >>= 8
            count -= 8

    table, following, width = restart()
    emit(clear)
    string = b""
    for number, value in enumerate(data, 1):
        longer = string + bytes([value])
        if longer in table:
            string = longer
            continue
        emit(table[string])
        if following < 4096:
            table[longer] = following
            following += 1
            width += following > 1 << width and width < 12
        if (following >= 4096 and not clear_every) or (clear_every and number % clear_every == 0):
            emit(clear)
            table, following, width = restart()
        string = bytes([value])
    emit(table[string])
    emit(clear + 1)
    return bytes(out) + (bytes([held & 255]) if count else b"")


def sub_blocks(data, size):
    return b"".join(bytes([len(b)]) + b for b in (data[i : i + size] for i in range(0, len(data), size))) + b"\0"


def gif():
    rng = random.Random(2)
    extensions = [
        b"", b"!\xfe\x03abc\0", b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", b"!\xff\x0bNETSCAPE2.0\0\0", b"xyz",
        b"!\xfe\0", b"!\xf9\0\0", b"!\x01\x0c" + bytes(12) + b"\x02ab\0", b"!\xff\x0bXMP DataXMP\x05hello\0",
    ]  # fmt: skip

    def table():
        count = rng.randrange(1, 9)
        ramp = bytes(i for i in range(1 << count) for _ in range(3))
        return 0x80 | (count - 1), ramp if rng.random() < 0.3 else noise(rng, 3 << count)

    for number in range(500):
        bits = rng.randrange(2, 9) if number % 7 else rng.choice((1, 9, 10, 2))
        screen = rng.randrange(1, 40), rng.randrange(1, 40)
        width, height = screen if rng.random() < 0.3 else (rng.randrange(1, 45), rng.randrange(1, 45))
        left, top = (rng.randrange(10), rng.randrange(10)) if rng.random() < 0.6 else (0, 0)
        flags, colours = table() if rng.random() < 0.8 else (0, b"")
        data = b"GIF89a" + struct.pack("<HHBBB", *screen, flags, rng.randrange(4), 0) + colours
        data += rng.choice(extensions)
        transparent = rng.choice((None, None, 0, 1, rng.randrange(256)))
        control = (transparent is not None) | rng.randrange(4) << 2
        data += b"!\xf9\x04" + struct.pack("<BHB", control, 0, transparent or 0) + b"\0"
        flags, colours = table() if rng.random() < 0.4 else (0, b"")
        flags |= 64 * rng.randrange(2)
        data += b"," + struct.pack("<HHHHB", left, top, width, height, flags) + colours + bytes([bits])
        indices = noise(rng, width * height, min(256, 1 << bits))
        data += sub_blocks(lzw(indices, bits, rng.choice((0, 0, 7, 100))), rng.choice((255, 1, 10))) + b";"
        yield f"{number}.gif", damaged(rng, data, rng.randrange(3)) if number % 5 == 4 else data
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"pillow-{mode}.gif", saved(photo(71, 43).convert(mode), "GIF", interlace=1)


# BMP

MASKS = {
    32: [
        (0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0, 0, 0, 0),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        (0x3FF, 0xFFC00, 0x3FF00000, 0),
    ],
    24: [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF, 0xFF00, 0xFF0000, 0)],
    16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0), (0xF00, 0xF0, 0xF, 0xF000)],
}  # fmt: skip


def bmp_header(size, width, height, bits, compression, colours, masks):
    if size == 12:
        return struct.pack("<IHHHH", 12, width, height, 1, bits)
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 2835, 2835, colours, 0)
    fields = struct.pack("<4I", *masks)
    if size == 40:
        return header + (fields[:12] if compression == 3 else b"")
    return (header + fields)[:size].ljust(size, b"\0")


def runs(rng, width, height, four):
    data = bytearray()
    for _ in range(height):
        x = 0
        while x < width:
            choice = rng.random()
            if choice < 0.5:
                count = min(rng.randrange(1, 20), width - x)
                data += bytes([count, rng.randrange(256)])
                x += count
            elif choice < 0.9 and width - x >= 3:
                count = min(width - x, rng.randrange(3, 30))
                length = (count + 1) // 2 if four else count
                data += bytes([0, count]) + noise(rng, length) + b"\0" * (length & 1)
                x += count
            elif choice > 0.97:
                data += bytes([0, 2, rng.randrange(max(1, width - x)), 0])
            elif choice > 0.96:
                break
        data += b"\0\0" if rng.random() < 0.9 or x < width else b""
    return bytes(data) + b"\0\1"


def bmp():
    rng = random.Random(3)
    for number in range(700):
        bits = rng.choice((1, 4, 8, 16, 24, 32, 1, 4, 8, 2))
        size = rng.choice((12, 40, 40, 52, 56, 64, 108, 124))
        width, height = rng.randrange(1, 40), rng.randrange(1, 30)
        compression, masks, colours, palette = 0, (0, 0, 0, 0), 0, b""
        if size > 12 and bits > 8 and rng.random() < 0.6:
            compression, masks = 3, rng.choice(MASKS[bits])
        if size > 12 and bits in (4, 8) and rng.random() < 0.4:
            compression = 2 if bits == 4 else 1
        if bits <= 8:
            count = 1 << bits
            if size > 12 and rng.random() < 0.4:
                colours = count = rng.choice((2, count, max(1, count // 2), max(1, count - 1)))
            entry = 3 if size == 12 else 4
            kind = rng.randrange(5)
            for i in range(count):
                gray = bytes([i & 255 if kind == 0 else 255 * (i & 1)] * 3)
                palette += (gray if kind < 2 else noise(rng, 3)).ljust(entry, b"\0")
        if compression in (1, 2):
            data = runs(rng, width, height, compression == 2)
        else:
            data = noise(rng, (width * bits + 31 >> 3 & ~3) * height)
        rows = -height if size > 12 and rng.random() < 0.3 else height
        header = bmp_header(size, width, rows, bits, compression, colours, masks)
        start = 14 + len(header) + len(palette)
        gap = bytes(rng.choice((0, 0, 5)))
        offset = rng.choice((start + len(gap), start + len(gap), 0, 14 + size))
        data = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, offset) + header + palette + gap + data
        yield f"{number}.bmp", damaged(rng, data, rng.randrange(3)) if number % 7 == 6 else data
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"pillow-{mode}.bmp", saved(photo(71, 43).convert(mode), "BMP")
    options = [
        "-type palette", "-type palette -compress RLE", "-colors 16 -type palette", "-monochrome", "-alpha set",
        *(f"-define bmp:format=bmp{i}" for i in (2, 3, 4)),
        *(f"-define bmp:subtype={kind}" for kind in ("RGB565", "RGB555", "ARGB4444", "ARGB1555")),
    ]  # fmt: skip
    yield from converted(photo(71, 43), "bmp", options)


def converted(image, ending, options):
    """What ImageMagick writes."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.png"
        image.save(source)
        for number, option in enumerate(options):
            file = Path(folder) / f"{number}.{ending}"
            command = ["convert", str(source), *option.split(), f"{ending}:{file}"]
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
            if file.exists():
                yield f"magick-{number}.{ending}", file.read_bytes()


# PPM, PGM, PBM


def pnm():
    rng = random.Random(4)

    def space():
        return rng.choice((b" ", b"\n", b"\t", b"\r\n", b"  ", b" # comment 5\n", b"\n#x\r", b"\x0b"))

    for number in range(500):
        kind, width, height = rng.randrange(1, 7), rng.randrange(1, 30), rng.randrange(1, 30)
        most = rng.choice((1, 2, 3, 15, 100, 254, 255, 256, 1000, 4095, 65534, 65535))
        count = width * height * (3 if kind in (3, 6) else 1)
        data = b"P%d" % kind + rng.choice((b"\n", b" ", b"\n# made\n")) + b"%d" % width + space() + b"%d" % height
        data += (space() + b"%d" % most if kind not in (1, 4) else b"") + b"\n"
        if kind == 1:
            data += b"".join(rng.choice((b"0", b"1", b"0 ", b"1\n")) for _ in range(count))
        elif kind == 4:
            data += noise(rng, (width + 7) // 8 * height)
        elif kind < 4:
            data += b"".join(b"%d" % rng.randrange(most + 1) + space() for _ in range(count))
        elif most < 256:
            data += noise(rng, count)
        else:
            data += b"".join(struct.pack(">H", rng.choice((rng.randrange(most + 1), 65535))) for _ in range(count))
        if number % 7 < 6:
            yield f"{number}.ppm", data
        else:
            data = damaged(rng, data, rng.randrange(3)) if number % 2 else data + rng.choice((b"\n", b"x"))
            yield f"damaged-{number}.ppm", data


# TIFF


def tiff():
    rng = random.Random(5)
    compressions = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate")
    for number in range(300):
        width, height = rng.choice(((1, 1), (3, 5), (17, 33), (64, 40), (100, 75), (257, 9)))
        mode = rng.choice(("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "RGBX"))
        image = photo(width, height)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image.convert("L")).astype("u2") * rng.choice((1, 3, 256)))
        else:
            image = image.convert(mode)
        compression, tags = rng.choice(compressions), {}
        if rng.random() < 0.3:
            tags[278] = rng.randrange(1, height + 3)  # rows of a strip
        if rng.random() < 0.4 and compression in compressions[2:4] and mode != "1":
            tags[317] = 2  # horizontal differences
        if rng.random() < 0.2:
            tags[274] = rng.randrange(1, 9)  # orientation
        data = saved(image, "TIFF", compression=compression, tiffinfo=tags)
        if number % 6 < 5:
            yield f"{number}.tif", data
        else:
            yield f"damaged-{number}.tif", damaged(rng, data, rng.randrange(3))
    kinds = [
        "", "-depth 16", "-endian MSB", "-endian MSB -depth 16", "-define tiff:tile-geometry=32x16",
        "-define tiff:tile-geometry=128x128", "-interlace plane", "-colorspace gray", "-colorspace gray -depth 16",
        "-colors 16 -type palette", "-colorspace gray -colors 4 -depth 2", "-monochrome", "-alpha set",
        "-colorspace CMYK", "-define tiff:rows-per-strip=7", "-define tiff:predictor=1", "-colorspace gray -depth 4",
        "-monochrome -define quantum:polarity=min-is-white",
    ]  # fmt: skip
    options = [f"{kind} -compress {how}" for how in ("None", "LZW", "Zip", "RLE") for kind in kinds]
    yield from converted(photo(70, 50), "tiff", options)
    compressed = ["-compress JPEG", "-compress Group4", "-compress Fax"]
    yield from ((f"unsupported-{name}", data) for name, data in converted(photo(70, 50), "tiff", compressed))


# WebP


def riff(content):
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def riff_chunk(kind, content):
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


def image_chunks(data):
    found, at = b"", 12
    while at < len(data):
        length = struct.unpack("<I", data[at + 4 : at + 8])[0]
        end = at + 8 + length + (length & 1)
        found += data[at:end] if data[at : at + 4] in (b"ALPH", b"VP8 ", b"VP8L") else b""
        at = end
    return found


def animation(rng, image, number):
    def three(value):
        return struct.pack("<I", value)[:3]

    def frame(x, y, content, flags):
        extents = three(image.width - 1) + three(image.height - 1)
        return riff_chunk(b"ANMF", three(x // 2) + three(y // 2) + extents + b"\x64\0\0" + bytes([flags]) + content)

    coded = image_chunks(saved(image, "WEBP", lossless=number % 2, quality=rng.randrange(101), exact=True))
    canvas = three(image.width + 15) + three(image.height + 11)
    data = riff_chunk(b"VP8X", bytes([2 | 16, 0, 0, 0]) + canvas) + riff_chunk(b"ANIM", noise(rng, 4) + b"\0\0")
    data += frame(0, 0, b"", 0) if number % 9 == 8 else b""
    data += frame(rng.randrange(14), rng.randrange(12), coded, rng.randrange(4)) + frame(0, 0, coded, 0)
    return riff(data)


def webp_options(rng, number):
    if number % 3 == 0:
        options = f"-lossless -q {rng.randrange(101)} -m {rng.randrange(7)}"
        if rng.random() < 0.5:
            options = f"-lossless -z {rng.randrange(10)}"
        return options + (f" -near_lossless {rng.randrange(101)}" if rng.random() < 0.3 else "")
    options = f"-q {rng.randrange(101)} -m {rng.randrange(7)} -segments {rng.randrange(1, 5)} -sns {rng.randrange(101)}"
    options += f" -f {rng.choice((0, 0, 100, rng.randrange(101)))} -sharpness {rng.randrange(8)}"
    rare = [
        "-strong", "-nostrong", f"-partition_limit {rng.randrange(101)}", "-pass 3", f"-pre {rng.randrange(1, 8)}",
        "-sharp_yuv", f"-alpha_q {rng.randrange(101)}", "-alpha_filter best", "-noalpha", "-jpeg_like", "-af",
    ]  # fmt: skip
    return " ".join([options, *(option for option in rare if rng.random() < 0.25)])


def webp():
    rng = random.Random(6)
    sizes = [(1, 1), (2, 1), (1, 2), (3, 3), (5, 7), (15, 17), (16, 16), (31, 33), (64, 33), (100, 75), (200, 133), (255, 3)]
    images = []
    for number, size in enumerate(sizes * 2):
        image = photo(*size)
        if number % 6 == 1:
            image = Image.fromarray(np.frombuffer(noise(rng, 3 * size[0] * size[1]), np.uint8).reshape(*size[::-1], 3))
        elif number % 6 == 2:
            image = image.quantize(rng.choice((2, 3, 5, 17, 60))).convert("RGB")
        elif number % 6 == 4:
            image.putalpha(Image.linear_gradient("L").resize(size))
        images.append(image)
    whole = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.png", Path(folder) / "target.webp"
        for number in range(500):
            rng.choice(images).save(source)
            command = ["cwebp", "-quiet", *webp_options(rng, number).split(), str(source), "-o", str(target)]
            subprocess.run(command, check=True)
            whole.append(target.read_bytes())
            yield f"{number}.webp", whole[-1]
    for number in range(60):
        image = rng.choice(images)
        yield f"animated-{number}.webp", animation(rng, image, number)
        profile = {"icc_profile": b"x" * 300, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}
        yield f"extended-{number}.webp", saved(image, "WEBP", lossless=number % 2, **profile)
    for number in range(100):
        yield f"cut-{number}.webp", damaged(rng, rng.choice(whole), 0)


FORMATS = {"png": png, "gif": gif, "bmp": bmp, "pnm": pnm, "tiff": tiff, "webp": webp}
