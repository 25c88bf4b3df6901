package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.ConvTile.Shape;
import io.github.resnet4j.kernel.MatrixAssembler.Matrix;
import io.github.resnet4j.kernel.Vec.Width;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The code of a {@link MachineTile} with matrix registers (AMX). One instruction multiplies a
 * matrix of 16 pixels × 16 words of input by a matrix of 16 words × 16 output channels of weights.
 * In C, with the names of the registers:
 *
 * <pre>{@code
 * for (pass = 0; pass < CHANNELS; pass += 16 * N) {  // unrolled
 *   for (tile = first; tile != end; tile++) {
 *     pixel = arena + in + 4 * inAt[tile];
 *     sums[m][n] = 0;
 *     weight = weights + pass;
 *     for (segment = segments; segment != segmentsEnd; ) {
 *       x = pixel + 4 * *segment++;
 *       for (k = 0; k < SEGMENT; k += 16)              // unrolled, and so are m and n
 *         sums[m][n] += matrix(x + k + PIXELS[m]) * matrix(weight + k * CHANNELS + 16 * n);
 *       weight += SEGMENT * CHANNELS;
 *     }
 *     (arena + out + 4 * outAt[tile])[p][pass + c] = result of (sums + bias (+ residual));
 *   }
 * }
 * }</pre>
 *
 * <p>All tiles are computed for some of the output channels before the next ones, so that the
 * weights of these channels stay in the first-level cache. While the first two tiles are computed,
 * the weights after these are prefetched into the second-level cache.
 *
 * <p>The sums of bfloat16 products are those of TDPBF16PS: the products with the first and with the
 * second halves of 16 words are added separately, and the two results then to the sum. Denormals
 * are treated as zero.
 */
final class MachineAmxCode {
  /** Rows of a matrix, and words of a row. */
  static final int ROWS = 16;

  private static final int CACHE_LINE = 64;
  private static final int MATRIX_BYTES = ROWS * CACHE_LINE;

  // The parameters are in these six, see MachineCode.Frame.
  private static final Reg IN = Reg.RDI;
  private static final Reg WEIGHTS = Reg.RSI;
  private static final Reg IN_AT = Reg.RDX;
  private static final Reg OUT_AT = Reg.RCX;
  private static final Reg RESIDUAL_AT = Reg.R8;
  private static final Reg SEGMENTS = Reg.R9;

  private static final Reg SEGMENTS_END = Reg.RBX;
  private static final Reg TILE = Reg.R12;
  private static final Reg PIXEL = Reg.R15;
  private static final Reg PIXEL_STRIDE = Reg.R13;
  private static final Reg WEIGHT_STRIDE = Reg.R14;
  private static final Reg AHEAD = Reg.RBP;
  private static final Reg SEGMENT = Reg.R11;
  private static final Reg WEIGHT = Reg.RAX;
  private static final Reg X = Reg.R10;

  // While results are stored, these take the place of others.
  private static final Reg BIAS = WEIGHT;
  private static final Reg OUT = X;
  private static final Reg RESIDUAL = SEGMENT;

  /** Variables on the stack, after the stored sums. */
  private static final Mem SUMS = mem(Reg.RSP);

  private static final Mem OUT_START = SUMS.plus(4 * MATRIX_BYTES);
  private static final Mem RESIDUAL_START = OUT_START.plus(8);
  private static final Mem BIAS_START = OUT_START.plus(16);
  private static final Mem TILES_START = OUT_START.plus(24);
  private static final Mem TILES_END = OUT_START.plus(32);
  private static final Mem STACK = OUT_START.plus(40);
  private static final int STACK_BYTES = 4 * MATRIX_BYTES + CACHE_LINE;

  private final VectorAssembler code = new VectorAssembler(Width.ZMM);
  private final Shape shape;
  private final List<Pixels> pixels;

  /** The number of words multiplied at once. */
  private final int words;

  /** The number of matrices of output channels that are computed at once. */
  private final int columns;

  /**
   * The pixels of a matrix.
   *
   * @param first the first of the tile's pixels
   * @param rows the row of the matrix that holds each pixel
   */
  private record Pixels(int first, int[] rows) {
    int height() {
      return rows[rows.length - 1] + 1;
    }
  }

  MachineAmxCode(Shape shape) {
    this.shape = shape;
    this.pixels = matrices(shape);
    this.words = Math.min(ROWS, shape.in().segment());
    this.columns = pixels.size() == 1 ? 4 : 2;
    if (!supports(shape)) {
      throw new IllegalArgumentException("not a tile of matrices: " + shape);
    }
  }

  /** Whether there is code for a shape. */
  static boolean supports(Shape shape) {
    return hasMatrices(shape.in())
        && shape.groups() == 0
        && shape.channels() % ROWS == 0
        && shape.walk().equals(ConvTile.Walk.dense(shape.channels(), 0))
        && matrices(shape).size() <= 2;
  }

  /** Whether there is code for tiles that read such an input. */
  static boolean hasMatrices(ConvTile.Input in) {
    return (in.weights() == Format.BF16 || in.weights() == Format.S8)
        && (in.segment() < ROWS || in.segment() % ROWS == 0);
  }

  /** Divides the pixels into matrices: rows of pixels together, if their distance allows it. */
  private static List<Pixels> matrices(Shape shape) {
    int rows = shape.rows().count();
    int perRow = shape.pixels() / rows;
    int stride = shape.in().pixelStride();
    var all = new ArrayList<Pixels>();
    if (perRow > ROWS || rows == 1) {
      int parts = Math.ceilDiv(perRow, ROWS);
      for (int row = 0; row < rows; row++) {
        for (int i = 0; i < parts; i++) {
          int first = row * perRow + perRow * i / parts;
          int end = row * perRow + perRow * (i + 1) / parts;
          all.add(new Pixels(first, IntStream.range(0, end - first).toArray()));
        }
      }
      return all;
    }
    boolean together = stride > 0 && shape.rows().in() % stride == 0;
    int distance = together ? shape.rows().in() / stride : ROWS;
    int rowsPerMatrix = Math.max(1, 1 + (ROWS - perRow) / Math.max(1, distance));
    for (int row = 0; row < rows; row += rowsPerMatrix) {
      int count = Math.min(rowsPerMatrix, rows - row);
      int[] places = new int[count * perRow];
      for (int i = 0; i < places.length; i++) {
        places[i] = i / perRow * distance + i % perRow;
      }
      all.add(new Pixels(row * perRow, places));
    }
    return all;
  }

  byte[] generate() {
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    var sizes = new Label();
    enter(frame, sizes);
    for (int first = 0; first < shape.channels(); first += columns * ROWS) {
      pass(first / ROWS, Math.min(columns, (shape.channels() - first) / ROWS));
    }
    code.tilerelease();
    code.mov(Reg.RSP, STACK);
    frame.leave();
    code.bind(sizes);
    code.words(sizes());
    return code.code();
  }

  private void enter(MachineCode.Frame frame, Label sizes) {
    code.mov(WEIGHT, Reg.RSP);
    code.sub(Reg.RSP, STACK_BYTES);
    code.and(Reg.RSP, -CACHE_LINE);
    code.mov(STACK, WEIGHT);
    code.mov(X, parameter(frame, 7));
    code.add(X, IN);
    code.mov(OUT_START, X);
    code.mov(X, parameter(frame, 8));
    code.add(X, IN);
    code.mov(RESIDUAL_START, X);
    code.mov(X, WEIGHTS);
    code.add(X, parameter(frame, 10));
    code.mov(BIAS_START, X);
    code.add(IN, parameter(frame, 6));
    code.add(WEIGHTS, parameter(frame, 9));
    code.mov(X, parameter(frame, 11));
    code.mov(TILES_START, X);
    code.mov(TILE, parameter(frame, 12));
    code.lea(X, mem(X, TILE, Integer.BYTES));
    code.mov(TILES_END, X);
    code.mov(SEGMENTS_END, SEGMENTS);
    code.add(SEGMENTS, parameter(frame, 13));
    code.add(SEGMENTS_END, parameter(frame, 14));
    code.mov(AHEAD, parameter(frame, 15));
    code.lea(X, sizes);
    code.ldtilecfg(mem(X));
    code.mov(PIXEL_STRIDE, shape.in().pixelStride() * Float.BYTES);
    code.mov(WEIGHT_STRIDE, shape.channels() * Float.BYTES);
  }

  /** A parameter on the stack as it was before this code moved its end. */
  private static Mem parameter(MachineCode.Frame frame, int index) {
    return mem(WEIGHT, frame.parameter(index).displacement());
  }

  /** The operand of {@code ldtilecfg}. */
  private int[] sizes() {
    int[] bytes = new int[64];
    bytes[0] = 1; // palette
    for (int m = 0; m < pixels.size(); m++) {
      int height = pixels.get(m).height();
      for (int n = 0; n < columns; n++) {
        size(bytes, sum(m, n), height, ROWS);
      }
      size(bytes, input(m), height, words);
    }
    for (int n = 0; n < columns; n++) {
      size(bytes, weights(n), words, ROWS);
    }
    int[] words = new int[32];
    for (int i = 0; i < words.length; i++) {
      words[i] = bytes[2 * i] | bytes[2 * i + 1] << 8;
    }
    return words;
  }

  private static void size(int[] bytes, Matrix matrix, int rows, int words) {
    bytes[16 + 2 * matrix.number()] = words * Float.BYTES;
    bytes[48 + matrix.number()] = rows;
  }

  private Matrix sum(int m, int n) {
    return new Matrix(m * columns + n);
  }

  private static Matrix input(int m) {
    return new Matrix(4 + m);
  }

  /** With one matrix of pixels, two registers hold the weights of four in turn. */
  private static Matrix weights(int n) {
    return new Matrix(6 + n % 2);
  }

  /**
   * All tiles for some of the output channels.
   *
   * @param first the first matrix of output channels
   * @param count the number of matrices
   */
  private void pass(int first, int count) {
    var end = new Label();
    var next = new Label();
    code.mov(TILE, TILES_START);
    tile(first, count, Ahead.FIRST_HALF);
    advance();
    code.jump(Condition.EQUAL, end);
    tile(first, count, Ahead.SECOND_HALF);
    advance();
    code.jump(Condition.EQUAL, end);
    code.align(32);
    code.bind(next);
    tile(first, count, Ahead.NOTHING);
    advance();
    code.jump(Condition.NOT_EQUAL, next);
    code.bind(end);
  }

  /** The next tile; equal if there is none. */
  private void advance() {
    code.add(TILE, Integer.BYTES);
    code.mov(X, TILES_END);
    code.cmp(TILE, X);
  }

  /** The rows of the next weights that are prefetched during a tile, of the rows it multiplies. */
  private enum Ahead {
    FIRST_HALF,
    SECOND_HALF,
    NOTHING
  }

  private void tile(int first, int count, Ahead ahead) {
    at(PIXEL, IN, IN_AT);
    for (int m = 0; m < pixels.size(); m++) {
      for (int n = 0; n < count; n++) {
        code.tilezero(sum(m, n));
      }
    }
    code.mov(WEIGHT, WEIGHTS);
    code.mov(SEGMENT, SEGMENTS);
    var done = new Label();
    var segment = new Label();
    code.cmp(SEGMENT, SEGMENTS_END);
    code.jump(Condition.EQUAL, done);
    code.align(32);
    code.bind(segment);
    Macros.next(code, X, PIXEL, SEGMENT);
    for (int k = 0; k < shape.in().segment(); k += words) {
      products(k, first, count, ahead);
    }
    code.add(WEIGHT, shape.in().segment() * shape.channels() * Float.BYTES);
    code.cmp(SEGMENT, SEGMENTS_END);
    code.jump(Condition.NOT_EQUAL, segment);
    code.bind(done);
    code.mov(X, CACHE_LINE);
    for (int m = 0; m < pixels.size(); m++) {
      for (int n = 0; n < count; n++) {
        code.tilestored(new Mem(Reg.RSP, X, 1, sumAt(m, n)), sum(m, n));
      }
    }
    results(first, count);
  }

  /** {@code to = base + 4 * list[TILE]}. */
  private void at(Reg to, Reg base, Reg list) {
    code.movsxd(to, mem(list, TILE, 1));
    code.lea(to, mem(base, to, Float.BYTES));
  }

  private int sumAt(int m, int n) {
    return sum(m, n).number() * MATRIX_BYTES;
  }

  private void products(int k, int first, int count, Ahead ahead) {
    int from = ahead == Ahead.FIRST_HALF ? 0 : words / 2;
    int to = ahead == Ahead.FIRST_HALF ? words / 2 : words;
    int row = k * shape.channels() * Float.BYTES;
    for (int m = 0; m < pixels.size(); m++) {
      int at = shape.inputAt(pixels.get(m).first) + k;
      code.tileloadd(input(m), new Mem(X, PIXEL_STRIDE, 1, at * Float.BYTES));
    }
    for (int n = 0; n < count; n++) {
      int at = row + (first + n) * CACHE_LINE;
      code.tileloadd(weights(n), new Mem(WEIGHT, WEIGHT_STRIDE, 1, at));
      for (int m = 0; m < pixels.size(); m++) {
        if (shape.in().format() == Format.BF16) {
          code.tdpbf16ps(sum(m, n), input(m), weights(n));
        } else {
          code.tdpbusd(sum(m, n), input(m), weights(n));
        }
      }
      for (int i = from; ahead != Ahead.NOTHING && i < to; i++) {
        int line = at + i * shape.channels() * Float.BYTES;
        code.prefetcht1(new Mem(WEIGHT, AHEAD, 1, line));
      }
    }
  }

  // --- results ----------------------------------------------------------------------------------

  private final Vec zero = code.vec(31);
  private final Vec belowHalf = code.vec(30);
  private final Vec scratch = code.vec(29);

  private void results(int first, int count) {
    Format format = shape.out().format();
    Format residual = shape.out().residual();
    boolean integer = shape.in().format().isInteger();
    code.mov(BIAS, BIAS_START);
    if (residual != null) {
      code.mov(X, RESIDUAL_START);
      at(RESIDUAL, X, RESIDUAL_AT);
    }
    code.mov(X, OUT_START);
    code.movsxd(PIXEL, mem(OUT_AT, TILE, 1));
    code.lea(OUT, mem(X, PIXEL, Float.BYTES));
    if (shape.out().relu()) {
      Macros.clear(code, zero);
    }
    if (format == Format.ROUNDED) {
      Macros.constant(code, belowHalf, Macros.BELOW_HALF, PIXEL);
    }
    for (int n = 0; n < count; n++) {
      code.vmovups(bias(n), constant(0, first + n));
      if (integer) {
        code.vmovups(scale(n), constant(1, first + n));
        if (residual != null) {
          code.vmovups(factor(n), constant(2, first + n));
        }
      }
    }
    for (int m = 0; m < pixels.size(); m++) {
      int[] rows = pixels.get(m).rows;
      for (int i = 0; i < rows.length; i++) {
        int pixel = pixels.get(m).first + i;
        for (int n = 0; n < count; n++) {
          Mem sum = SUMS.plus(sumAt(m, n) + rows[i] * CACHE_LINE);
          value(value(i, n), sum, n, pixel, first + n);
        }
        store(pixel, i, first, count);
      }
    }
  }

  private Mem constant(int kind, int vector) {
    return mem(BIAS, (kind * shape.channels() + vector * ROWS) * Float.BYTES);
  }

  private Vec bias(int n) {
    return code.vec(n);
  }

  private Vec scale(int n) {
    return code.vec(4 + n);
  }

  private Vec factor(int n) {
    return code.vec(8 + n);
  }

  /** Registers in turn, so that pixels do not wait for each other. */
  private Vec value(int i, int n) {
    return code.vec(12 + i % 4 * 4 + n);
  }

  /** A vector of results, before it is rounded. */
  private void value(Vec to, Mem sum, int n, int pixel, int vector) {
    Format residual = shape.out().residual();
    Mem added =
        residual == null
            ? mem(RESIDUAL)
            : mem(
                RESIDUAL,
                (shape.residualAt(pixel) + vector * ROWS / residual.perWord()) * Float.BYTES);
    if (shape.in().format().isInteger()) {
      code.vcvtdq2ps(to, sum);
      code.vfmadd213ps(to, scale(n), bias(n));
      if (residual != null) {
        Macros.widen(code, scratch, added, residual);
        code.vfmadd231ps(to, scratch, factor(n));
      }
    } else {
      code.vaddps(to, bias(n), sum);
      if (residual != null && residual.isFloat()) {
        code.vaddps(to, to, added);
      } else if (residual != null) {
        Macros.widen(code, scratch, added, residual);
        code.vaddps(to, to, scratch);
      }
    }
    if (shape.out().relu()) {
      code.vmaxps(to, zero, to); // keeps NaN and -0
    }
  }

  private void store(int pixel, int i, int first, int count) {
    Format format = shape.out().format();
    for (int n = 0; n < count; n++) {
      int words = shape.outputAt(pixel) + (first + n) * ROWS / format.perWord();
      Mem to = mem(OUT, words * Float.BYTES);
      if (format == Format.BF16 && n + 1 < count) {
        code.vcvtne2ps2bf16(scratch, value(i, n + 1), value(i, n));
        code.vmovups(to, scratch);
        n++;
      } else {
        Macros.narrow(code, to, value(i, n), format, belowHalf, scratch);
      }
    }
  }
}
