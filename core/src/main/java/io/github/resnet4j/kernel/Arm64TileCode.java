package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Arm64Assembler.X;
import io.github.resnet4j.kernel.Arm64VectorAssembler.Part;
import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.ConvTile.Shape;
import java.util.Set;

/**
 * The code of a {@link MachineTile} for arm64. It is the loop of {@link MachineTileCode}, with one
 * difference: instead of repeating an input in all lanes, it loads four words of a pixel at once
 * and multiplies weights by one lane of them.
 *
 * <p>bfloat16 products are two instructions with one rounding each, in the order that {@link
 * ConvTile} specifies. Without products of signed with unsigned bytes, 128 is subtracted from the
 * inputs, and 128 times the sum of the weights is the start of the sums.
 */
final class Arm64TileCode {
  private static final int CACHE_LINE = 64;
  private static final int LANES = 4;
  private static final int REGISTERS = 32;

  /** The number of vectors of results that a tile keeps in registers. */
  static final int ACCUMULATORS = 24;

  /** The approximate number of products of an unrolled loop body. */
  private static final int UNROLLED = 200;

  /** Instructions that multiply by a lane of bfloat16 can address so many registers. */
  private static final int MAX_INPUTS = 15;

  private static final X IN_AT = X.X2;
  private static final X OUT_AT = X.X3;
  private static final X RESIDUAL_AT = X.X4;
  private static final X IN = X.X6;
  private static final X OUT = X.X7;
  private static final X RESIDUALS = X.X8;
  private static final X WEIGHTS = X.X9;
  private static final X BIAS = X.X10;
  private static final X COUNT = X.X11;
  private static final X SEGMENTS = X.X12;
  private static final X SEGMENTS_END = X.X13;
  private static final X AHEAD = X.X14;
  private static final X AHEAD_END = X.X15;
  private static final X WEIGHTS_END = X.X20;
  private static final X PIXEL = X.X19;
  private static final X I = X.X21;
  // These hold parameters at first.
  private static final X INPUT = X.X0;
  private static final X WEIGHT = X.X1;
  private static final X SEGMENT = X.X5;
  private static final X RESULT = X.X0;
  private static final X RESIDUAL = X.X5;
  private static final X SCRATCH = X.X17;

  private final Arm64VectorAssembler code = new Arm64VectorAssembler();
  private final Shape shape;
  private final boolean mixedBytes;
  private final int vectors;
  private final int spacing;

  /** The number of vector registers beside the accumulators. */
  private final int free;

  /** The number of pixels whose inputs are in registers together. */
  private final int inputs;

  /** Counts the loads of weights, which use the remaining registers in turn. */
  private int loads;

  Arm64TileCode(Shape shape, Set<Arm64Feature> features) {
    this.shape = shape;
    this.mixedBytes = features.contains(Arm64Feature.MIXED_DOT_PRODUCT);
    this.vectors = shape.vectors(LANES);
    this.spacing = shape.spacing(LANES);
    this.free = REGISTERS - shape.pixels() * vectors;
    if (vectors * LANES != shape.channels()
        || (shape.groups() != 0 && shape.groups() != LANES)
        || shape.pixels() * vectors > ACCUMULATORS) {
      throw new IllegalArgumentException("no registers for vectors of 4: " + shape);
    }
    int others = subtracts() ? 3 : 2;
    this.inputs = Math.min(Math.min(shape.pixels(), free - others), MAX_INPUTS);
  }

  private boolean isInteger() {
    return shape.in().format().isInteger();
  }

  /** Whether 128 is subtracted from the inputs. */
  private boolean subtracts() {
    return isInteger() && !mixedBytes;
  }

  byte[] generate() {
    Arm64Frame frame = Arm64Frame.enter(code);
    code.add(IN, X.X0, IN);
    code.add(OUT, X.X0, OUT);
    offset(frame, RESIDUALS, X.X0, 8);
    offset(frame, WEIGHTS, X.X1, 9);
    offset(frame, BIAS, X.X1, 10);
    offset(frame, IN_AT, IN_AT, 11);
    frame.parameter(SCRATCH, 11);
    code.add(OUT_AT, OUT_AT, SCRATCH);
    code.add(RESIDUAL_AT, RESIDUAL_AT, SCRATCH);
    frame.parameter(COUNT, 12);
    offset(frame, SEGMENTS, X.X5, 13);
    offset(frame, SEGMENTS_END, X.X5, 14);
    // The next block's weights follow those of this block.
    offset(frame, WEIGHTS_END, WEIGHTS, 15);
    code.mov(AHEAD, WEIGHTS_END);
    offset(frame, AHEAD_END, AHEAD, 15);

    var tile = new Label();
    code.bind(tile);
    next(PIXEL, IN, IN_AT);
    start();
    products();
    finish();
    code.subs(COUNT, COUNT, 1);
    code.b(Condition.NOT_EQUAL, tile);
    frame.leave();
    return code.code();
  }

  private void offset(Arm64Frame frame, X to, X base, int parameter) {
    frame.parameter(SCRATCH, parameter);
    code.add(to, base, SCRATCH);
  }

  /** {@code to = base + 4 * *list++}. */
  private void next(X to, X base, X list) {
    code.ldrswPost(SCRATCH, list, Integer.BYTES);
    code.add(to, base, SCRATCH, 2);
  }

  private Vec vec(int number) {
    return Vec.xmm(number);
  }

  private Vec accumulator(int p, int v) {
    return vec(free + p * vectors + v);
  }

  // --- start ------------------------------------------------------------------------------------

  private void start() {
    if (isInteger()) {
      startOfIntegers();
      return;
    }
    Format format = shape.out().residual();
    if (format != null) {
      next(RESIDUAL, RESIDUALS, RESIDUAL_AT);
    }
    Vec bias = vec(0);
    Vec added = vec(1);
    for (int v = 0; v < vectors; v++) {
      code.ldr(Part.Q, bias, BIAS, bias(v));
      for (int p = 0; p < shape.pixels(); p++) {
        if (format == null) {
          code.mov(accumulator(p, v), bias);
        } else {
          widen(added, residual(p, v, format), format);
          code.fadd(accumulator(p, v), bias, added);
        }
      }
    }
  }

  private void startOfIntegers() {
    for (int i = 0; i < shape.pixels() * vectors; i++) {
      code.moviZero(vec(free + i));
    }
    if (!subtracts()) {
      return;
    }
    code.movi16b(sign(), 0x80); // as signed bytes: -128
    var again = new Label();
    var done = new Label();
    code.mov(WEIGHT, WEIGHTS);
    code.cmp(WEIGHT, WEIGHTS_END);
    code.b(Condition.EQUAL, done);
    code.bind(again);
    for (int v = 0; v < vectors; v++) {
      code.ldr(Part.Q, vec(v), WEIGHT, v * LANES * Float.BYTES);
      code.sdot(accumulator(0, v), vec(v), sign());
    }
    code.add(WEIGHT, WEIGHT, shape.channels() * Float.BYTES, SCRATCH);
    code.cmp(WEIGHT, WEIGHTS_END);
    code.b(Condition.NOT_EQUAL, again);
    code.bind(done);
    for (int v = 0; v < vectors; v++) {
      code.neg4s(accumulator(0, v), accumulator(0, v));
      for (int p = 1; p < shape.pixels(); p++) {
        code.mov(accumulator(p, v), accumulator(0, v));
      }
    }
  }

  /** The bytes' sign bits. */
  private Vec sign() {
    return vec(free - 1);
  }

  private int bias(int v) {
    return v * spacing * Float.BYTES;
  }

  private int scale(int v) {
    return bias(v) + shape.channels() * Float.BYTES;
  }

  private int factor(int v) {
    return bias(v) + 2 * shape.channels() * Float.BYTES;
  }

  private int residual(int p, int v, Format format) {
    return (shape.residualAt(p) + v * spacing / format.perWord()) * Float.BYTES;
  }

  private int result(int p, int v) {
    int perWord = shape.out().format().perWord();
    return (shape.outputAt(p) + v * spacing / perWord) * Float.BYTES;
  }

  /** Loads residuals of any format as floats. */
  private void widen(Vec to, int offset, Format format) {
    switch (format) {
      case FP32, ROUNDED -> code.ldr(Part.Q, to, RESIDUAL, offset);
      case BF16 -> {
        code.ldr(Part.D, to, RESIDUAL, offset);
        code.shll4s16(to, to);
      }
      case U8 -> {
        code.ldr(Part.S, to, RESIDUAL, offset);
        code.uxtl8h(to, to);
        code.uxtl4s(to, to);
        code.scvtf(to, to);
      }
      case S8 -> {
        code.ldr(Part.S, to, RESIDUAL, offset);
        code.sxtl8h(to, to);
        code.sxtl4s(to, to);
        code.scvtf(to, to);
      }
    }
  }

  // --- products ---------------------------------------------------------------------------------

  private void products() {
    code.mov(WEIGHT, WEIGHTS);
    code.mov(SEGMENT, SEGMENTS);
    var segment = new Label();
    var done = new Label();
    code.cmp(SEGMENT, SEGMENTS_END);
    code.b(Condition.EQUAL, done);
    code.align(32);
    code.bind(segment);
    next(INPUT, PIXEL, SEGMENT);
    int length = shape.in().segment();
    int unrolled = Math.max(LANES, UNROLLED / (shape.pixels() * vectors) / LANES * LANES);
    int stretch = Math.min(unrolled, length);
    int stretches = length / stretch;
    if (stretches > 1) {
      var again = new Label();
      code.mov(I, stretches);
      code.align(32);
      code.bind(again);
      stretch(stretch);
      code.subs(I, I, 1);
      code.b(Condition.NOT_EQUAL, again);
    } else {
      stretch(stretch);
    }
    if (length > stretches * stretch) {
      stretch(length - stretches * stretch);
    }
    code.add(WEIGHT, WEIGHT, shape.walk().gap() * Float.BYTES, SCRATCH);
    code.cmp(SEGMENT, SEGMENTS_END);
    code.b(Condition.NOT_EQUAL, segment);
    code.bind(done);
  }

  /** The products of {@code length} words of every pixel. */
  private void stretch(int length) {
    int step = shape.walk().step();
    var enough = new Label();
    code.cmp(AHEAD, AHEAD_END);
    code.b(Condition.NOT_LESS, enough);
    for (int i = 0; i < length; i++) {
      code.prfmL2(AHEAD, i * CACHE_LINE);
    }
    code.add(AHEAD, AHEAD, length * CACHE_LINE, SCRATCH);
    code.bind(enough);
    boolean adjacentWords = step == 1 && shape.groups() == 0;
    boolean adjacentPixels =
        !adjacentWords
            && shape.groups() == 0
            && shape.in().pixelStride() == 1
            && shape.rows().count() == 1;
    int i = 0;
    while (i < length) {
      if (adjacentPixels) {
        rowOfPixels(i);
        i++;
      } else {
        int words = adjacentWords && i + LANES <= length ? LANES : 1;
        for (int p = 0; p < shape.pixels(); p += inputs) {
          words(i, words, p, Math.min(shape.pixels(), p + inputs));
        }
        i += words;
      }
    }
    code.add(INPUT, INPUT, length * step * Float.BYTES, SCRATCH);
    code.add(WEIGHT, WEIGHT, length * shape.walk().row() * Float.BYTES, SCRATCH);
  }

  /** The products of one or four words of some pixels. */
  private void words(int i, int words, int firstPixel, int endPixel) {
    Part part = words == LANES || shape.groups() > 0 ? Part.Q : Part.S;
    for (int p = firstPixel; p < endPixel; p++) {
      int at = shape.inputAt(p) + i * shape.walk().step();
      Vec x = vec(p - firstPixel);
      code.ldr(part, x, INPUT, at * Float.BYTES);
      if (subtracts()) {
        code.eor(x, x, sign());
      }
    }
    for (int lane = 0; lane < words; lane++) {
      for (int v = 0; v < vectors; v++) {
        Vec weights = weights(i + lane, v, inputs);
        for (int p = firstPixel; p < endPixel; p++) {
          product(accumulator(p, v), weights, vec(p - firstPixel), lane);
        }
      }
    }
  }

  /** The products of one word of pixels that are adjacent in memory. */
  private void rowOfPixels(int i) {
    int at = i * shape.walk().step() * Float.BYTES;
    int whole = shape.pixels() / LANES;
    int single = shape.pixels() % LANES;
    for (int n = 0; n < whole; n++) {
      code.ldr(Part.Q, vec(n), INPUT, at + n * LANES * Float.BYTES);
    }
    for (int n = 0; n < single; n++) {
      code.ldr(Part.S, vec(whole + n), INPUT, at + (whole * LANES + n) * Float.BYTES);
    }
    for (int v = 0; v < vectors; v++) {
      Vec weights = weights(i, v, whole + single);
      for (int p = 0; p < shape.pixels(); p++) {
        if (p < whole * LANES) {
          product(accumulator(p, v), weights, vec(p / LANES), p % LANES);
        } else {
          product(accumulator(p, v), weights, vec(p - whole * LANES + whole), 0);
        }
      }
    }
  }

  /** Loads weights to one of the registers that are not used otherwise. */
  private Vec weights(int i, int v, int used) {
    int registers = free - used - (subtracts() ? 1 : 0);
    Vec to = vec(used + loads++ % registers);
    code.ldr(Part.Q, to, WEIGHT, (i * shape.walk().row() + v * LANES) * Float.BYTES);
    return to;
  }

  private void product(Vec sum, Vec weights, Vec x, int lane) {
    switch (shape.in().format()) {
      case FP32, ROUNDED -> {
        if (shape.groups() > 0) {
          code.fmla(sum, weights, x);
        } else {
          code.fmla(sum, weights, x, lane);
        }
      }
      case BF16 -> {
        code.bfmlalt(sum, weights, x, 2 * lane + 1);
        code.bfmlalb(sum, weights, x, 2 * lane);
      }
      case U8, S8 -> {
        if (mixedBytes) {
          code.sudot(sum, weights, x, lane);
        } else {
          code.sdot(sum, weights, x, lane);
        }
      }
    }
  }

  // --- end --------------------------------------------------------------------------------------

  private void finish() {
    final Vec scale = vec(0);
    final Vec bias = vec(1);
    final Vec factor = vec(2);
    final Vec total = vec(3);
    final Vec added = vec(4);
    final Vec belowHalf = vec(5);
    Format residual = shape.out().residual();
    if (shape.out().format() == Format.ROUNDED) {
      code.mov(SCRATCH, Macros.BELOW_HALF);
      code.dup4s(belowHalf, SCRATCH);
    }
    if (isInteger() && residual != null) {
      next(RESIDUAL, RESIDUALS, RESIDUAL_AT);
    }
    next(RESULT, OUT, OUT_AT);
    for (int v = 0; v < vectors; v++) {
      if (isInteger()) {
        code.ldr(Part.Q, scale, BIAS, scale(v));
        code.ldr(Part.Q, bias, BIAS, bias(v));
        if (residual != null) {
          code.ldr(Part.Q, factor, BIAS, factor(v));
        }
      }
      for (int p = 0; p < shape.pixels(); p++) {
        Vec sum = accumulator(p, v);
        if (isInteger()) {
          code.scvtf(sum, sum);
          code.mov(total, bias);
          code.fmla(total, sum, scale);
          if (residual != null) {
            widen(added, residual(p, v, residual), residual);
            code.fmla(total, added, factor);
          }
          sum = total;
        }
        if (shape.out().relu()) {
          code.fcmltZero(added, sum); // keeps NaN and -0
          code.bic(sum, sum, added);
        }
        narrow(result(p, v), sum, added, belowHalf);
      }
    }
  }

  /** Stores floats in the result's format; they are overwritten. */
  private void narrow(int offset, Vec floats, Vec scratch, Vec belowHalf) {
    switch (shape.out().format()) {
      case FP32 -> code.str(Part.Q, floats, RESULT, offset);
      case ROUNDED -> {
        code.ushr4s(scratch, floats, 16);
        code.shl4s(scratch, scratch, 31);
        code.ushr4s(scratch, scratch, 31); // 1 if the remaining number is odd
        code.add4s(floats, floats, belowHalf);
        code.add4s(floats, floats, scratch);
        code.ushr4s(floats, floats, 16);
        code.shl4s(floats, floats, 16);
        code.str(Part.Q, floats, RESULT, offset);
      }
      case BF16 -> {
        code.bfcvtn(floats, floats);
        code.str(Part.D, floats, RESULT, offset);
      }
      case U8, S8 -> {
        code.fcvtns(floats, floats);
        code.sqxtn4h(floats, floats);
        if (shape.out().format() == Format.S8) {
          code.sqxtn8b(floats, floats);
        } else {
          code.sqxtun8b(floats, floats);
        }
        code.str(Part.S, floats, RESULT, offset);
      }
    }
  }
}
