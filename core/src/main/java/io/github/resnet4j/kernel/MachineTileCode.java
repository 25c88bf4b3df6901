package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.ConvTile.Shape;
import io.github.resnet4j.kernel.Vec.Width;

/**
 * The code of a {@link MachineTile}: all extents are constants, all accumulators are registers. In
 * C, with the names of the registers:
 *
 * <pre>{@code
 * do {
 *   pixel = arena + in + 4 * *inAt++;
 *   acc[p][v] = bias[v] (+ residual[p][v]);
 *   weight = weights;
 *   for (segment = segments; segment != segmentsEnd; ) {
 *     x = pixel + 4 * *segment++;
 *     for (i = 0; i < SEGMENT; i++)
 *       acc[p][v] += x[p * PIXEL_STRIDE + i] * weight[i * CHANNELS + v];  // each p and v unrolled
 *   }
 *   (arena + out + 4 * *outAt++)[p][v] = acc[p][v] or relu(acc[p][v]);
 * } while (--count);
 * }</pre>
 *
 * <p>In narrower formats {@code +=} sums two or four products, the start is zero for integers, and
 * the end scales, adds and rounds as {@link ConvTile} specifies. With weights of 16 bits, two
 * instructions multiply the even and the odd bytes of a word, and two add the products: numbers of
 * 16 bits are the narrowest whose products do not saturate on processors without VNNI.
 *
 * <p>Meanwhile the weights after these, usually those of the next block of output channels, are
 * prefetched into the L2 cache: a quarter of them during each tile, since memory is slower than the
 * products. With vectors of 256 bits, where this was measured, the lines of results, and the input
 * and residual of the next tile, are prefetched too: the processor looks a few hundred instructions
 * ahead, which is less than a tile.
 */
final class MachineTileCode {
  private static final int CACHE_LINE = 64;
  private static final int FLOATS_PER_LINE = CACHE_LINE / Float.BYTES;

  /** The number of tiles during which the next block's weights are prefetched. */
  private static final int TILES_PER_PREFETCH = 4;

  /**
   * The approximate number of products of an unrolled loop body: 4 kB of code, which fits into the
   * processor's cache of decoded instructions.
   */
  private static final int UNROLLED = 200;

  // The parameters are in these six, see MachineCode.Frame.
  private static final Reg IN = Reg.RDI;
  private static final Reg WEIGHT = Reg.RSI;
  private static final Reg IN_AT = Reg.RDX;
  private static final Reg OUT_AT = Reg.RCX;
  private static final Reg RESIDUAL_AT = Reg.R8;
  private static final Reg SEGMENTS = Reg.R9;

  private static final Reg SEGMENTS_END = Reg.RBX;
  private static final Reg SEGMENT = Reg.R11;
  private static final Reg PIXEL = Reg.RBP;
  private static final Reg X = Reg.R10;
  private static final Reg I = Reg.RAX;
  private static final Reg AHEAD = Reg.R12;
  private static final Reg AHEAD_END = Reg.R13;
  private static final Reg WEIGHTS = Reg.R14;
  private static final Reg BIAS = Reg.R15;
  private static final Reg POINTER = Reg.RAX;
  private static final Reg RESIDUAL = Reg.R11;

  /** The minimum number of vector registers beside the accumulators. */
  private static final int SPARE = 4;

  private static final int EVEN_BYTES = 0x00FF00FF;

  private final VectorAssembler code;
  private final Shape shape;
  private final Width width;
  private final int vectors;
  private final int spacing;
  private final int accumulators;
  private final int registers;

  /** Whether input, residual and results are prefetched; measured with vectors of 256 bits only. */
  private final boolean prefetchesOperands;

  private Mem out = mem(Reg.RSP);
  private Mem residual = mem(Reg.RSP);

  MachineTileCode(Shape shape, Width width) {
    this.code = new VectorAssembler(width);
    this.shape = shape;
    this.width = width;
    this.vectors = shape.vectors(width.lanes());
    this.spacing = shape.spacing(width.lanes());
    this.accumulators = shape.pixels() * vectors;
    this.registers = width.registers();
    this.prefetchesOperands = width == Width.YMM;
    if (vectors * width.lanes() != shape.channels()
        || (shape.groups() != 0 && shape.groups() != width.lanes())
        || accumulators + Math.max(vectors, SPARE) > registers) {
      throw new IllegalArgumentException(
          "no registers for vectors of %d: %s".formatted(width.lanes(), shape));
    }
  }

  byte[] generate() {
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    out = frame.parameter(7);
    residual = frame.parameter(8);
    code.add(out, IN); // from offset to address
    code.add(residual, IN);
    code.mov(WEIGHTS, WEIGHT);
    code.mov(BIAS, WEIGHT);
    code.add(IN, frame.parameter(6));
    code.add(WEIGHTS, frame.parameter(9));
    code.add(BIAS, frame.parameter(10));
    code.add(IN_AT, frame.parameter(11));
    code.add(OUT_AT, frame.parameter(11));
    code.add(RESIDUAL_AT, frame.parameter(11));
    code.mov(SEGMENTS_END, SEGMENTS);
    code.add(SEGMENTS, frame.parameter(13));
    code.add(SEGMENTS_END, frame.parameter(14));
    Mem count = frame.parameter(12);
    // The next block's weights follow those of this block.
    code.mov(AHEAD, WEIGHTS);
    code.add(AHEAD, frame.parameter(15));
    code.mov(AHEAD_END, AHEAD);
    code.add(AHEAD_END, frame.parameter(15));

    var tile = new Label();
    code.bind(tile);
    Macros.next(code, PIXEL, IN, IN_AT);
    start();
    if (prefetchesOperands) {
      prefetchResults();
    }
    products();
    finish();
    code.sub(count, 1);
    code.jump(Condition.NOT_EQUAL, tile);
    frame.leave();
    return code.code();
  }

  /** The accumulators' start: zero, the bias, or bias plus residual. */
  private void start() {
    if (shape.in().format().isInteger()) {
      for (int i = 0; i < accumulators; i++) {
        Macros.clear(code, code.vec(i));
      }
      if (shape.in().weights() == Format.S16) {
        Macros.constant(code, evenBytes(), EVEN_BYTES, X);
      }
      return;
    }
    Format format = shape.out().residual();
    if (format != null) {
      code.mov(X, residual);
      Macros.next(code, RESIDUAL, X, RESIDUAL_AT);
    }
    Vec bias = code.vec(accumulators);
    Vec added = code.vec(accumulators + 1);
    for (int v = 0; v < vectors; v++) {
      if (format != null) {
        code.vmovups(bias, bias(v));
      }
      for (int p = 0; p < shape.pixels(); p++) {
        if (format == null && p == 0) {
          code.vmovups(accumulator(p, v), bias(v));
        } else if (format == null) {
          code.vmovaps(accumulator(p, v), accumulator(0, v));
        } else if (format.isFloat()) {
          code.vaddps(accumulator(p, v), bias, residual(p, v, format));
        } else {
          Macros.widen(code, added, residual(p, v, format), format);
          code.vaddps(accumulator(p, v), bias, added);
        }
      }
    }
    if (format != null && prefetchesOperands) {
      prefetchNextResidual(format);
    }
  }

  /** The tile to the right usually follows. */
  private void prefetchNextResidual(Format format) {
    int next = shape.pixels() * shape.out().residualStride() * Float.BYTES;
    for (int p = 0; p < shape.pixels(); p++) {
      for (int v = 0; v < vectors; v += vectorsPerLine(format)) {
        code.prefetcht0(residual(p, v, format).plus(next));
      }
    }
  }

  private void prefetchResults() {
    code.mov(X, out);
    Macros.current(code, POINTER, X, OUT_AT);
    for (int p = 0; p < shape.pixels(); p++) {
      for (int v = 0; v < vectors; v += vectorsPerLine(shape.out().format())) {
        code.prefetchw(result(p, v));
      }
    }
  }

  private int vectorsPerLine(Format format) {
    return FLOATS_PER_LINE * format.perWord() / spacing;
  }

  private Mem bias(int v) {
    return mem(BIAS, v * spacing * Float.BYTES);
  }

  private Mem scale(int v) {
    return bias(v).plus(shape.channels() * Float.BYTES);
  }

  private Mem factor(int v) {
    return bias(v).plus(2 * shape.channels() * Float.BYTES);
  }

  private Mem residual(int p, int v, Format format) {
    int words = shape.residualAt(p) + v * spacing / format.perWord();
    return mem(RESIDUAL, words * Float.BYTES);
  }

  private Mem result(int p, int v) {
    int words = shape.outputAt(p) + v * spacing / shape.out().format().perWord();
    return mem(POINTER, words * Float.BYTES);
  }

  private Vec accumulator(int p, int v) {
    return code.vec(p * vectors + v);
  }

  private void products() {
    code.mov(WEIGHT, WEIGHTS);
    code.mov(SEGMENT, SEGMENTS);
    var segment = new Label();
    var done = new Label();
    code.cmp(SEGMENT, SEGMENTS_END);
    code.jump(Condition.EQUAL, done);
    code.align(32);
    code.bind(segment);
    Macros.next(code, X, PIXEL, SEGMENT);
    int stretch = Math.clamp(UNROLLED / accumulators, 1, shape.in().segment());
    int stretches = shape.in().segment() / stretch;
    if (stretches > 1) {
      var again = new Label();
      code.mov(I, stretches);
      code.align(32);
      code.bind(again);
      stretch(stretch);
      code.sub(I, 1);
      code.jump(Condition.NOT_EQUAL, again);
    } else {
      stretch(stretch);
    }
    if (shape.in().segment() > stretches * stretch) {
      stretch(shape.in().segment() - stretches * stretch);
    }
    if (shape.walk().gap() > 0) {
      code.add(WEIGHT, shape.walk().gap() * Float.BYTES);
    }
    code.cmp(SEGMENT, SEGMENTS_END);
    code.jump(Condition.NOT_EQUAL, segment);
    code.bind(done);
  }

  /** The products of {@code length} floats of every pixel. */
  private void stretch(int length) {
    int step = shape.walk().step();
    var enough = new Label();
    code.cmp(AHEAD, AHEAD_END);
    code.jump(Condition.NOT_LESS, enough);
    int bytes = length * shape.walk().row() * Float.BYTES / TILES_PER_PREFETCH;
    int lines = Math.max(1, bytes / CACHE_LINE);
    for (int i = 0; i < lines; i++) {
      code.prefetcht1(mem(AHEAD, i * CACHE_LINE));
    }
    code.add(AHEAD, lines * CACHE_LINE);
    code.bind(enough);
    for (int i = 0; i < length; i++) {
      if (prefetchesInput() && i % FLOATS_PER_LINE == 0) {
        prefetchNextInput(i);
      }
      for (int p = 0; p < shape.pixels(); p++) {
        multiply(p, i, mem(X, (shape.inputAt(p) + i * step) * Float.BYTES));
      }
    }
    code.add(X, length * step * Float.BYTES);
    code.add(WEIGHT, length * shape.walk().row() * Float.BYTES);
  }

  /** Whether the tile to the right reads other lines of the input. */
  private boolean prefetchesInput() {
    return prefetchesOperands
        && shape.isFloat()
        && shape.walk().step() == 1
        && shape.in().pixelStride() >= FLOATS_PER_LINE;
  }

  private void prefetchNextInput(int i) {
    int next = shape.pixels() * shape.in().pixelStride();
    for (int p = 0; p < shape.pixels(); p++) {
      code.prefetcht0(mem(X, (next + shape.inputAt(p) + i) * Float.BYTES));
    }
  }

  /**
   * One pixel's float (or, in a grouped tile, vector) times a row of weights. The weights are
   * loaded with the first pixel; as many as possible stay in registers.
   */
  private void multiply(int p, int i, Mem input) {
    if (shape.in().weights() == Format.S16) {
      multiplyBytes(p, i, input);
      return;
    }
    int kept = Math.min(vectors, registers - accumulators - 1);
    Vec weights = code.vec(accumulators);
    if (p == 0) {
      for (int v = 0; v < kept; v++) {
        code.vmovups(weights.plus(v), weight(i, v));
      }
    }
    if (vectors == 1 && shape.groups() > 0) {
      code.vfmadd231ps(accumulator(p, 0), weights, input);
      return;
    }
    if (vectors == 1 && width == Width.ZMM && !shape.in().format().isInteger()) {
      if (shape.in().format() == Format.BF16) {
        code.vdpbf16psBroadcast(accumulator(p, 0), weights, input);
      } else {
        code.vfmadd231psBroadcast(accumulator(p, 0), weights, input);
      }
      return;
    }
    int free = registers - accumulators - kept;
    Vec x = weights.plus(kept + p % free); // in turn, so that the next load does not wait
    if (shape.groups() > 0) {
      code.vmovups(x, input);
    } else {
      code.vbroadcastss(x, input);
    }
    for (int v = 0; v < vectors; v++) {
      if (v < kept) {
        product(accumulator(p, v), x, weights.plus(v));
      } else {
        product(accumulator(p, v), x, weight(i, v));
      }
    }
  }

  /** One pixel's word of bytes times its two rows of weights. */
  private void multiplyBytes(int p, int i, Mem input) {
    Vec even = code.vec(accumulators);
    Vec odd = code.vec(accumulators + 1);
    Vec products = code.vec(accumulators + 2);
    code.vbroadcastss(odd, input);
    code.vpand(even, odd, evenBytes());
    code.vpsrlw(odd, odd, 8);
    for (int v = 0; v < vectors; v++) {
      code.vpmaddwd(products, even, weight(i, v));
      code.vpaddd(accumulator(p, v), accumulator(p, v), products);
    }
    for (int v = 0; v < vectors; v++) {
      code.vpmaddwd(products, odd, weight(i, vectors + v));
      code.vpaddd(accumulator(p, v), accumulator(p, v), products);
    }
  }

  private Vec evenBytes() {
    return code.vec(accumulators + 3);
  }

  private void product(Vec sum, Vec x, Vec weight) {
    switch (shape.in().format()) {
      case FP32, ROUNDED -> code.vfmadd231ps(sum, x, weight);
      case BF16 -> code.vdpbf16ps(sum, x, weight);
      case U8, S8 -> code.vpdpbusd(sum, x, weight);
    }
  }

  private void product(Vec sum, Vec x, Mem weight) {
    switch (shape.in().format()) {
      case FP32, ROUNDED -> code.vfmadd231ps(sum, x, weight);
      case BF16 -> code.vdpbf16ps(sum, x, weight);
      case U8, S8 -> code.vpdpbusd(sum, x, weight);
    }
  }

  private Mem weight(int i, int v) {
    return mem(WEIGHT, (i * shape.walk().row() + v * width.lanes()) * Float.BYTES);
  }

  private Vec belowHalf() {
    return code.vec(accumulators + 3);
  }

  private void finish() {
    Vec zero = code.vec(accumulators);
    Vec scale = code.vec(accumulators + 1);
    Vec scratch = code.vec(accumulators + 2);
    if (shape.out().relu()) {
      Macros.clear(code, zero);
    }
    if (shape.out().format() == Format.ROUNDED) {
      Macros.constant(code, belowHalf(), Macros.BELOW_HALF, X);
    }
    if (shape.in().format().isInteger() && shape.out().residual() != null) {
      code.mov(X, residual);
      Macros.next(code, RESIDUAL, X, RESIDUAL_AT);
    }
    code.mov(X, out);
    Macros.next(code, POINTER, X, OUT_AT);
    for (int v = 0; v < vectors; v++) {
      if (shape.in().format().isInteger()) {
        code.vmovups(scale, scale(v));
      }
      for (int p = 0; p < shape.pixels(); p++) {
        Vec sum = accumulator(p, v);
        if (shape.in().format().isInteger()) {
          code.vcvtdq2ps(sum, sum);
          code.vfmadd213ps(sum, scale, bias(v));
          if (shape.out().residual() instanceof Format format) {
            Macros.widen(code, scratch, residual(p, v, format), format);
            code.vfmadd231ps(sum, scratch, factor(v));
          }
        }
        if (shape.out().relu()) {
          code.vmaxps(sum, zero, sum); // keeps NaN and -0
        }
        Macros.narrow(code, result(p, v), sum, shape.out().format(), belowHalf(), scratch);
      }
    }
  }
}
