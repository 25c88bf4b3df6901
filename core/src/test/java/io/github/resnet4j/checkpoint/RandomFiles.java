package io.github.resnet4j.checkpoint;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.zip.CRC32;

/** Generates files from grammars: nearly valid, so that readers get far, with typical attacks. */
final class RandomFiles {
  private static final String[] GLOBALS = {
    "collections\nOrderedDict",
    "collections\ndefaultdict",
    "collections\nCounter",
    "argparse\nNamespace",
    "builtins\ndict",
    "__builtin__\nlist",
    "builtins\nset",
    "torch\nSize",
    "torch._utils\n_rebuild_tensor",
    "torch._utils\n_rebuild_tensor_v2",
    "torch._utils\n_rebuild_tensor_v3",
    "torch._utils\n_rebuild_qtensor",
    "torch._utils\n_rebuild_sparse_tensor",
    "torch._utils\n_rebuild_parameter",
    "torch.nn.parameter\nParameter",
    "torch._tensor\n_rebuild_from_type_v2",
    "copy_reg\n_reconstructor",
    "builtins\nobject",
    "torch\ndevice",
    "numpy\ndtype",
    "numpy.core.multiarray\nscalar",
    "_codecs\nencode",
    "numpy.core.multiarray\n_reconstruct",
    "numpy._core.numeric\n_frombuffer",
    "numpy\nndarray",
    "__torch__\nModule",
    "builtins\nbytearray",
    "torch\nTensor",
    "torch\nFloatStorage",
    "torch\nComplexFloatStorage",
    "torch\nfloat32",
    "os\nsystem",
  };

  private static final String[] WORDS = {
    "state_dict",
    "model",
    "ema",
    "w",
    "conv1.weight",
    "fc.weight",
    "fc.bias",
    "bn1.weight",
    "layer1.0.conv1.weight",
    "module.layer1.0.conv1.weight",
    "storage",
    "0",
    "1",
    "cpu",
    "resnet4j",
    "architecture",
    "preprocessing",
    "labels",
    "block",
    "basic",
    "blocks",
    "channels",
    "numClasses",
    "includeTop",
    "crop_size",
    "resize_size",
    "mean",
    "std",
    "interpolation",
    "size",
    "shortest_edge",
    "dtype",
    "F32",
    "I8",
    "BF16",
    "shape",
    "data_offsets",
    "__metadata__",
    "format",
    "little_endian",
    "",
    "x".repeat(3000),
  };

  private final SplittableRandom random;
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private int memo;

  RandomFiles(long seed) {
    this.random = new SplittableRandom(seed);
  }

  private boolean chance(int oneIn) {
    return random.nextInt(oneIn) == 0;
  }

  private String any(String[] of) {
    return of[random.nextInt(of.length)];
  }

  private long number() {
    return switch (random.nextInt(8)) {
      case 0 -> random.nextLong();
      case 1 -> Long.MAX_VALUE - random.nextInt(3);
      case 2 -> -random.nextInt(3);
      case 3 -> 1L << random.nextInt(63);
      default -> random.nextInt(9);
    };
  }

  private void raw(String latin1) {
    out.writeBytes(latin1.getBytes(StandardCharsets.ISO_8859_1));
  }

  private void little(long value, int bytes) {
    for (int i = 0; i < bytes; i++) {
      out.write((int) (value >>> 8 * i));
    }
  }

  // Pickles.

  /** The programs of a file: one for the zip format, five for the old one. */
  byte[] pickle() {
    raw("\u0080" + (char) (chance(50) ? random.nextInt(7) : 2 + random.nextInt(4)));
    if (chance(4)) {
      value(5);
    } else {
      raw(chance(2) ? "}" : "ccollections\nOrderedDict\n)R");
      memoize();
      items(6);
      if (chance(2)) {
        raw("}");
        text("resnet4j");
        value(5);
        raw("sb");
      }
    }
    if (!chance(20)) {
      raw(".");
    }
    return out.toByteArray();
  }

  private void items(int most) {
    raw("(");
    for (int i = random.nextInt(most); i > 0; i--) {
      if (chance(5)) {
        value(2);
      } else {
        text(any(WORDS));
      }
      if (chance(2)) {
        tensor();
      } else {
        value(4);
      }
    }
    raw("u");
  }

  private void text(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
    String op =
        bytes.length > 255 || chance(3) ? (chance(2) ? "X" : "T") : chance(2) ? "U" : "\u008c";
    raw(op);
    little(chance(300) ? number() : bytes.length, op.equals("X") || op.equals("T") ? 4 : 1);
    out.writeBytes(bytes);
  }

  private void memoize() {
    if (chance(2)) {
      out.write('q');
      out.write(memo++ & 0xff);
    } else if (chance(3)) {
      out.write(0x94);
      memo++;
    }
  }

  private void recall() {
    out.write('h');
    out.write(memo == 0 ? 0 : random.nextInt(memo + (chance(20) ? 2 : 0)));
  }

  private void value(int depth) {
    switch (random.nextInt(depth <= 0 ? 8 : 18)) {
      case 0 -> raw("N");
      case 1 -> raw(chance(2) ? "\u0088" : "\u0089");
      case 2 -> integer(number());
      case 3 -> {
        raw("\u008a");
        int bytes = random.nextInt(20);
        out.write(bytes);
        little(random.nextLong(), bytes);
      }
      case 4 -> {
        raw("G");
        little(random.nextLong(), 8);
      }
      case 5 -> text(any(WORDS));
      case 6 -> recall();
      case 7 -> raw(any(new String[] {")", "]", "}", "\u008f", "I7\n", "C\1a"}));
      case 8 -> sequence(depth, "]", "e");
      case 9 -> sequence(depth, "", any(new String[] {"t", "l", "\u0091"}));
      case 10 -> {
        raw("}");
        memoize();
        items(4);
      }
      case 11 -> call(depth);
      case 12 -> tensor();
      case 13 -> { // a container that contains itself
        int itself = memo++ & 0xff;
        raw("]q" + (char) itself + "h" + (char) itself + "a");
      }
      case 14 -> { // wraps it in tuples or lists
        value(depth - 1);
        raw("\u0085".repeat(random.nextInt(chance(30) ? 20_000 : 40)));
      }
      case 15 -> { // copies stored values repeatedly
        int count = chance(30) ? 30_000 : random.nextInt(20);
        String copy = "c" + any(GLOBALS) + "\nh" + (char) random.nextInt(memo + 1) + "\u0085R";
        raw("](" + copy.repeat(count) + "e");
      }
      case 16 -> { // many small values
        String small = any(new String[] {"N", "]", "}", ")", "K\1", "(", "X\0\0\0\0", "h\0"});
        raw("](" + small.repeat(chance(30) ? 100_000 : random.nextInt(50)) + "e");
      }
      default -> {
        value(depth - 1);
        value(depth - 2);
        raw(
            any(
                new String[] {
                  "b", "a", "s", "\u0086", "R", "Q", "\u0093", "0", "1", "2", "e", "d"
                }));
      }
    }
    memoize();
    if (chance(200)) {
      out.write(random.nextInt(256));
    }
  }

  private void sequence(int depth, String begin, String end) {
    raw(begin + "(");
    for (int i = random.nextInt(5); i > 0; i--) {
      value(depth - 1);
    }
    raw(end);
  }

  private void call(int depth) {
    raw("c" + any(GLOBALS) + "\n");
    memoize();
    if (chance(4)) {
      recall();
    } else {
      sequence(depth, "", "t");
    }
    raw(chance(4) ? "\u0081" : "R");
    if (chance(6)) {
      value(depth - 1);
      raw("b");
    }
  }

  private void integer(long value) {
    raw("\u008a\u0008");
    little(value, 8);
  }

  private void tensor() {
    String rebuild = chance(8) ? any(GLOBALS) : "torch._utils\n_rebuild_tensor_v2";
    raw("c" + rebuild + "\n((");
    text("storage");
    raw("c" + (chance(8) ? any(GLOBALS) : "torch\nFloatStorage") + "\n");
    text(chance(8) ? any(WORDS) : "0");
    text("cpu");
    integer(chance(8) ? number() : 4);
    raw("tQ");
    integer(chance(4) ? number() : 0);
    int axes = random.nextInt(chance(20) ? 80 : 5);
    for (int list = 0; list < 2; list++) {
      raw("(");
      for (int i = 0; i < axes; i++) {
        integer(chance(4) ? number() : 1 + random.nextInt(2));
      }
      raw("t");
    }
    raw("\u0089}tR");
  }

  // Zip files.

  /** A zip of torch.save with a pickle, whose directory may be wrong. */
  byte[] zip() {
    byte[] pickle = pickle();
    var entries = new LinkedHashMap<String, byte[]>();
    entries.put("archive/data.pkl", pickle);
    entries.put("archive/data/0", new byte[16]);
    if (chance(4)) {
      entries.put("archive/constants.pkl", new byte[0]); // TorchScript
    }
    for (int i = random.nextInt(4); i > 0; i--) {
      entries.put("archive/" + any(WORDS), new byte[random.nextInt(9)]);
    }
    boolean lies = chance(3);
    byte[] bytes = zip(entries);
    if (lies) {
      int directory = bytes.length - random.nextInt(Math.min(bytes.length, 400));
      var buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
      for (int i = random.nextInt(4); i >= 0; i--) {
        int at = Math.min(bytes.length - 8, directory + random.nextInt(40));
        switch (random.nextInt(4)) {
          case 0 -> buffer.putInt(at, (int) number());
          case 1 -> buffer.putInt(at, random.nextInt(bytes.length));
          case 2 -> buffer.putShort(at, (short) number());
          default -> buffer.put(at, (byte) random.nextInt(256));
        }
      }
    }
    return bytes;
  }

  private byte[] zip(Map<String, byte[]> entries) {
    out.reset();
    var directory = new RandomFiles(0);
    for (var entry : entries.entrySet()) {
      byte[] name = entry.getKey().getBytes(StandardCharsets.UTF_8);
      byte[] body = entry.getValue();
      var crc = new CRC32();
      crc.update(body);
      long start = out.size();
      raw("PK\3\4");
      little(10, 10); // version, flags, method, time
      header(crc.getValue(), body.length, name.length, this);
      out.writeBytes(name);
      out.writeBytes(body);
      directory.raw("PK\1\2");
      directory.little(10, 12);
      header(crc.getValue(), body.length, name.length, directory);
      directory.little(0, 10);
      directory.little(start, 4);
      directory.out.writeBytes(name);
    }
    long start = out.size();
    out.writeBytes(directory.out.toByteArray());
    raw("PK\5\6");
    little(0, 4);
    little(entries.size(), 2);
    little(entries.size(), 2);
    little(directory.out.size(), 4);
    little(start, 4);
    little(0, 2);
    return out.toByteArray();
  }

  private static void header(long crc, int size, int nameLength, RandomFiles to) {
    to.little(crc, 4);
    to.little(size, 4);
    to.little(size, 4);
    to.little(nameLength, 2);
    to.little(0, 2);
  }

  /** The format before PyTorch 1.6. */
  byte[] legacy() {
    raw("\u0080\2\u008a\nl\u00fc\u009cF\u00f9 j\u00a8P\u0019.\u0080\2M\u00e9\3.\u0080\2}.");
    pickle();
    raw("\u0080\2](");
    for (int i = random.nextInt(3); i >= 0; i--) {
      text(chance(8) ? any(WORDS) : "0");
    }
    raw("e.");
    little(chance(8) ? number() : 4, 8);
    out.writeBytes(new byte[random.nextInt(40)]);
    return out.toByteArray();
  }

  // JSON.

  /** A safetensors file whose header, metadata or index may be any JSON. */
  byte[] safetensors() {
    var json = new StringBuilder();
    if (chance(6)) {
      json(json, 4);
    } else {
      json.append("{");
      for (int i = 1 + random.nextInt(4); i > 0; i--) {
        json.append('"').append(any(WORDS)).append("\":");
        description(json);
        json.append(",");
      }
      json.append("\"__metadata__\":{\"resnet4j\":\"");
      var notes = new StringBuilder();
      json(notes, 5);
      json.append(notes.toString().replace("\\", "\\\\").replace("\"", "\\\"")).append("\"}}");
    }
    byte[] header = json.toString().getBytes(StandardCharsets.UTF_8);
    little(chance(20) ? number() : header.length, 8);
    out.writeBytes(header);
    out.writeBytes(new byte[random.nextInt(64)]);
    return out.toByteArray();
  }

  private void description(StringBuilder json) {
    if (chance(5)) {
      json(json, 3);
      return;
    }
    json.append("{\"dtype\":\"").append(any(new String[] {"F32", "I8", "F16", "F8_E4M3"}));
    json.append("\",\"shape\":[").append(chance(3) ? number() : 4);
    json.append("],\"data_offsets\":[").append(chance(4) ? number() : 0).append(",");
    json.append(chance(4) ? number() : 16).append("]}");
  }

  private void json(StringBuilder json, int depth) {
    switch (random.nextInt(depth <= 0 ? 5 : 9)) {
      case 0 -> json.append("null");
      case 1 -> json.append(number());
      case 2 -> json.append(any(new String[] {"true", "1e999", "0.5", "-0", "1".repeat(999)}));
      case 3, 4 -> json.append('"').append(any(WORDS)).append('"');
      case 5 -> {
        json.append("[");
        for (int i = random.nextInt(5); i > 0; i--) {
          json(json, depth - 1);
          json.append(i > 1 ? "," : "");
        }
        json.append("]");
      }
      case 6 -> {
        int count = chance(30) ? 20_000 : random.nextInt(30);
        json.append("[".repeat(count)).append("]".repeat(count));
      }
      default -> {
        json.append("{");
        for (int i = random.nextInt(5); i > 0; i--) {
          json.append('"').append(any(WORDS)).append("\":");
          json(json, depth - 1);
          json.append(i > 1 ? "," : "");
        }
        json.append("}");
      }
    }
  }

  /** An index of shards, or any JSON. */
  byte[] index() {
    var json = new StringBuilder("{\"weight_map\":");
    json(json, 4);
    return json.append("}").toString().getBytes(StandardCharsets.UTF_8);
  }

  /** NumPy's header in many notations. */
  byte[] npy() {
    String space = " ".repeat(chance(20) ? 20_000 : random.nextInt(3));
    String header =
        "{'descr':%s'%s', 'fortran_order': %s,%s'shape': (%s)%s}%s"
            .formatted(
                space,
                any(new String[] {"<f4", "<f8", "|u1", "|O", "<f2"}),
                any(new String[] {"True", "False", "None"}),
                space,
                any(new String[] {"", "4,", "2, 2", number() + ",", number() + "," + number()}),
                any(new String[] {",", ", ", "", space}),
                any(new String[] {"\n", space, "x"}));
    int version = chance(20) ? random.nextInt(256) : 1 + random.nextInt(3);
    raw("\u0093NUMPY" + (char) version + "\0");
    little(chance(20) ? number() : header.length(), version > 1 ? 4 : 2);
    raw(header);
    out.writeBytes(new byte[random.nextInt(64)]);
    return out.toByteArray();
  }

  /** A file with random damage. */
  byte[] damaged(byte[] original) {
    byte[] bytes = original.clone();
    for (int i = 1 + random.nextInt(4); i > 0; i--) {
      int at = random.nextInt(bytes.length);
      switch (random.nextInt(6)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> bytes[at] = (byte) random.nextInt(256);
        case 2 -> bytes = Arrays.copyOf(bytes, Math.max(1, at));
        case 3 -> { // a sequence of one value: lengths become huge or zero
          byte value = (byte) (random.nextBoolean() ? 0xff : 0);
          Arrays.fill(bytes, at, Math.min(bytes.length, at + 8), value);
        }
        case 4 -> { // a part of the file elsewhere
          int length = random.nextInt(Math.min(64, bytes.length - at) + 1);
          int to = random.nextInt(bytes.length - length + 1);
          System.arraycopy(bytes, at, bytes, to, length);
        }
        default ->
            bytes[Math.min(bytes.length - 1, random.nextInt(512))] ^= (byte) random.nextInt(256);
      }
    }
    return bytes;
  }
}
