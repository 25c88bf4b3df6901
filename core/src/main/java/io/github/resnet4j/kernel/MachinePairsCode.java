package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;

/** The code of {@link MachinePairs}, with vectors of 512 bits. */
final class MachinePairsCode {
  private static final Width WIDTH = Width.ZMM;
  private static final int LANES = WIDTH.lanes();

  // Parameters of the functions on pixels: the arena; then in bytes the offsets of pixels and
  // result, from one row to the next and from one channel's result to the next; the number of rows.
  private static final Reg FROM = Reg.RSI;
  private static final Reg TO = Reg.RDX;
  private static final Reg ROW_STRIDE = Reg.RCX;
  private static final Reg CHANNEL_STRIDE = Reg.R8;
  private static final Reg ROWS = Reg.R9;

  private static final Reg PIXEL = Reg.RAX;
  private static final Reg RESULT = Reg.RBX;
  private static final Reg COUNT = Reg.R10;

  private final VectorAssembler code = new VectorAssembler(WIDTH);
  private final MachineCode.Frame frame = MachineCode.Frame.enter(code);

  private MachinePairsCode() {}

  private byte[] end() {
    frame.leave();
    return code.code();
  }

  private interface Body {
    void write();
  }

  /** Repeats instructions, at least once. */
  private void repeat(Reg count, Body body) {
    var again = new Label();
    code.align(32);
    code.bind(again);
    body.write();
    code.sub(count, 1);
    code.jump(Condition.NOT_EQUAL, again);
  }

  /** Parameters: source, to; then their offsets in bytes, and the number of pairs. */
  static byte[] pairRows(int channels) {
    return new MachinePairsCode().rows(channels);
  }

  private byte[] rows(int channels) {
    final Reg source = Reg.RDI;
    final Reg to = Reg.RSI;
    code.add(source, Reg.RDX);
    code.add(to, Reg.RCX);
    int row = channels * Float.BYTES;
    repeat(
        Reg.R8,
        () -> {
          for (int v = 0; v < channels / LANES; v++) {
            Vec first = code.vec(2 * v);
            Vec second = code.vec(2 * v + 1);
            code.vmovups(first, mem(source, v * WIDTH.bytes()));
            code.vmovups(second, mem(source, row + v * WIDTH.bytes()));
            Macros.roundWords(code, first);
            Macros.roundWords(code, second);
            Macros.join(code, first, second);
            code.vmovups(mem(to, v * WIDTH.bytes()), first);
          }
          code.add(source, 2 * row);
          code.add(to, row);
        });
    return end();
  }

  /**
   * @param block words of a pixel
   */
  static byte[] pairPixels(int block, int channels, int columns, int pitch) {
    return new MachinePairsCode().pixels(block, channels, columns, pitch);
  }

  private byte[] pixels(int block, int channels, int columns, int pitch) {
    int vectors = channels / LANES;
    int pixel = block * Float.BYTES;
    code.add(FROM, Reg.RDI);
    code.add(TO, Reg.RDI);
    Vec zero = code.vec(31);
    Macros.clear(code, zero);
    repeat(
        ROWS,
        () -> {
          code.mov(PIXEL, FROM);
          if (columns >= 2) {
            code.mov(COUNT, columns / 2);
            repeat(
                COUNT,
                () -> {
                  for (int v = 0; v < vectors; v++) {
                    Vec first = code.vec(2 * v);
                    Vec second = code.vec(2 * v + 1);
                    code.vpmovzxwd(first, mem(PIXEL, v * WIDTH.bytes() / 2));
                    code.vpmovzxwd(second, mem(PIXEL, pixel + v * WIDTH.bytes() / 2));
                    Macros.join(code, first, second);
                    code.vmovups(mem(TO, v * WIDTH.bytes()), first);
                  }
                  code.add(PIXEL, 2 * pixel);
                  code.add(TO, channels * Float.BYTES);
                });
          }
          if (columns % 2 == 1) {
            for (int v = 0; v < vectors; v++) {
              code.vpmovzxwd(code.vec(v), mem(PIXEL, v * WIDTH.bytes() / 2));
              code.vmovups(mem(TO, v * WIDTH.bytes()), code.vec(v));
            }
            code.add(TO, channels * Float.BYTES);
          }
          int zeros = pitch - Math.ceilDiv(columns, 2);
          if (zeros > 0) {
            code.mov(COUNT, zeros);
            repeat(
                COUNT,
                () -> {
                  for (int v = 0; v < vectors; v++) {
                    code.vmovups(mem(TO, v * WIDTH.bytes()), zero);
                  }
                  code.add(TO, channels * Float.BYTES);
                });
          }
          code.add(FROM, ROW_STRIDE);
        });
    return end();
  }

  /**
   * The transpose of 16 channels.
   *
   * @param pixel words from one pixel to the next
   */
  static byte[] transpose(int pixel, int columns, int pitch) {
    return new MachinePairsCode().channels(pixel * Float.BYTES, columns, pitch);
  }

  private byte[] channels(int pixel, int columns, int pitch) {
    code.add(FROM, Reg.RDI);
    code.add(TO, Reg.RDI);
    int whole = Math.min(columns / (2 * LANES), pitch / LANES);
    repeat(
        ROWS,
        () -> {
          code.mov(PIXEL, FROM);
          code.mov(RESULT, TO);
          if (whole > 0) {
            code.mov(COUNT, whole);
            repeat(COUNT, () -> square(pixel, 2 * LANES));
          }
          for (int i = whole; i < Math.ceilDiv(pitch, LANES); i++) {
            square(pixel, Math.clamp(columns - 2 * LANES * i, 0, 2 * LANES));
          }
          code.add(FROM, ROW_STRIDE);
          code.add(TO, pitch * Float.BYTES);
        });
    return end();
  }

  /** Transposes 16 pairs of pixels, of which the last ones may be missing, and 16 channels. */
  private void square(int pixel, int count) {
    for (int i = 0; i < LANES; i++) {
      Vec pair = code.vec(i);
      if (2 * i >= count) {
        Macros.clear(code, pair);
        continue;
      }
      code.vpmovzxwd(pair, mem(PIXEL, 2 * i * pixel));
      if (2 * i + 1 < count) {
        code.vpmovzxwd(code.vec(LANES + i), mem(PIXEL, (2 * i + 1) * pixel));
        Macros.join(code, pair, code.vec(LANES + i));
      }
    }
    for (int i = 0; i < LANES; i += 2) {
      code.vunpcklps(code.vec(LANES + i), code.vec(i), code.vec(i + 1));
      code.vunpckhps(code.vec(LANES + i + 1), code.vec(i), code.vec(i + 1));
    }
    for (int i = 0; i < LANES; i += 4) {
      for (int half = 0; half < 2; half++) {
        Vec a = code.vec(LANES + i + half);
        Vec b = code.vec(LANES + i + half + 2);
        code.vshufps(code.vec(i + 2 * half), a, b, 0x44); // the lower numbers of both
        code.vshufps(code.vec(i + 2 * half + 1), a, b, 0xEE); // the upper ones
      }
    }
    // Now a quarter of vector i + j holds column j of the quarter, of rows i to i + 3.
    for (int j = 0; j < 4; j++) {
      for (int i = 0; i < LANES; i += 8) {
        code.vshuff32x4(code.vec(LANES + i + j), code.vec(i + j), code.vec(i + 4 + j), 0x88);
        code.vshuff32x4(code.vec(LANES + i + 4 + j), code.vec(i + j), code.vec(i + 4 + j), 0xDD);
      }
    }
    for (int j = 0; j < 8; j++) {
      Vec a = code.vec(LANES + j);
      Vec b = code.vec(LANES + 8 + j);
      code.vshuff32x4(code.vec(j), a, b, 0x88);
      code.vshuff32x4(code.vec(8 + j), a, b, 0xDD);
    }
    final Reg to = Reg.R11;
    code.mov(to, RESULT);
    for (int c = 0; c < LANES; c++) {
      code.vmovups(mem(to), code.vec(c));
      code.add(to, CHANNEL_STRIDE);
    }
    code.add(PIXEL, 2 * LANES * pixel);
    code.add(RESULT, WIDTH.bytes());
  }

  /** Parameters: arena; the offsets of both in bytes; the number of vectors. */
  static byte[] shift() {
    return new MachinePairsCode().words();
  }

  private byte[] words() {
    code.add(FROM, Reg.RDI);
    code.add(TO, Reg.RDI);
    Vec before = code.vec(0);
    Vec here = code.vec(1);
    repeat(
        Reg.RCX,
        () -> {
          code.vmovups(before, mem(FROM, -Float.BYTES));
          code.vmovups(here, mem(FROM));
          code.vpsrld(before, before, 16);
          Macros.join(code, before, here);
          code.vmovups(mem(TO), before);
          code.add(FROM, WIDTH.bytes());
          code.add(TO, WIDTH.bytes());
        });
    return end();
  }
}
