package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Assembler.mem;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Packed;
import io.github.resnet4j.kernel.VectorAssembler.Shift;

/**
 * Rows of a JPEG's samples in machine code: {@link JpegKernels#upsample} and {@link
 * JpegKernels#rgb}. The last vector of a row ends at the row's end, so that some samples are
 * computed twice.
 */
final class MachineRowsCode {
  private static final int VECTOR = 32;

  private static final Reg CONSTANTS = Reg.R11;
  private static final Reg AT = Reg.RAX;
  private static final Reg LAST = Reg.R10;

  private final VectorAssembler code = new VectorAssembler(Width.YMM);

  private MachineRowsCode() {}

  /** Jumps back until the last vector of a row is processed. */
  private void loop(Label start, int step) {
    var end = new Label();
    code.cmp(AT, LAST);
    code.jump(Condition.EQUAL, end);
    code.add(AT, step);
    code.cmp(AT, LAST);
    code.jump(Condition.LESS, start);
    code.mov(AT, LAST);
    code.cmp(AT, LAST);
    code.jump(Condition.EQUAL, start);
    code.bind(end);
  }

  /** Repeats a word in a whole vector. */
  private void fill(int word) {
    for (int i = 0; i < VECTOR / 2; i++) {
      code.words(word);
    }
  }

  // --- upsampling -------------------------------------------------------------------------------

  /** The number of samples per iteration. */
  static final int SAMPLES_PER_ITERATION = 16;

  private static final Reg NEAR = Reg.RDI;
  private static final Reg FAR = Reg.RSI;

  /**
   * A row without its first and last sample. Parameters: the nearer row, the farther one, the
   * result, unused; then the number of samples of a row, at least two more than {@link
   * #SAMPLES_PER_ITERATION}, and the biases of the left and right results of each pair, in 16ths,
   * repeated twice in 32 bits.
   */
  static byte[] upsample() {
    return new MachineRowsCode().writeUpsample();
  }

  private byte[] writeUpsample() {
    final Reg to = Reg.RDX;
    final Reg width = Reg.R8;
    final Reg leftBias = Reg.R9;
    final int left = 0;
    final int right = 1;
    final int middle = 2;
    final int leftHalf = 12;
    final int rightHalf = 13;
    final int lowByte = 14;
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    var constants = new Label();
    code.lea(CONSTANTS, constants);
    code.vmovups(Vec.ymm(lowByte), mem(CONSTANTS));
    code.vmovd(Vec.xmm(leftHalf), leftBias);
    code.vbroadcastss(Vec.ymm(leftHalf), Vec.xmm(leftHalf));
    code.mov(LAST, frame.parameter(6));
    code.vmovd(Vec.xmm(rightHalf), LAST);
    code.vbroadcastss(Vec.ymm(rightHalf), Vec.xmm(rightHalf));
    code.lea(LAST, mem(width, -SAMPLES_PER_ITERATION - 1));
    code.mov(AT, 1);
    var start = new Label();
    code.bind(start);
    sum(left, -1);
    sum(middle, 0);
    sum(right, 1);
    code.packed(Packed.VPADDW, 3, middle, middle);
    code.packed(Packed.VPADDW, middle, middle, 3);
    code.packed(Packed.VPADDW, left, left, middle);
    code.packed(Packed.VPADDW, left, left, leftHalf);
    code.packed(Packed.VPADDW, right, right, middle);
    code.packed(Packed.VPADDW, right, right, rightHalf);
    code.shift(Shift.VPSRAW, left, left, 4);
    code.shift(Shift.VPSRAW, right, right, 4);
    code.shift(Shift.VPSLLW, right, right, 8);
    code.packed(Packed.VPAND, left, left, lowByte);
    code.packed(Packed.VPOR, left, left, right);
    code.vmovups(mem(to, AT, 2), Vec.ymm(left));
    loop(start, SAMPLES_PER_ITERATION);
    frame.leave();
    code.align(VECTOR);
    code.bind(constants);
    fill(0xff);
    return code.code();
  }

  /**
   * Three times the nearer row plus the farther one, starting at a sample beside the current one.
   */
  private void sum(int to, int beside) {
    final int t = 4;
    code.vpmovsxbw(Vec.ymm(t), new Mem(NEAR, AT, 1, beside));
    code.vpmovsxbw(Vec.ymm(to), new Mem(FAR, AT, 1, beside));
    code.packed(Packed.VPADDW, to, to, t);
    code.packed(Packed.VPADDW, t, t, t);
    code.packed(Packed.VPADDW, to, to, t);
  }

  // --- colors -----------------------------------------------------------------------------------

  /** The number of pixels per iteration. */
  static final int PIXELS_PER_ITERATION = 32;

  // Indices of the vectors of constants.
  private static final int CR_TO_R = 0;
  private static final int CB_TO_B = 1;
  private static final int TO_G = 2;
  private static final int HALF = 3;
  private static final int ONE = 4;
  private static final int CENTER = 5;
  private static final int SHUFFLES = 6;
  private static final int MASKS = 9;

  private static Mem constant(int index) {
    return mem(CONSTANTS, index * VECTOR);
  }

  /**
   * Converts a row to RGB. Parameters: Y, Cb, Cr, the result; then the number of pixels, at least
   * {@link #PIXELS_PER_ITERATION}.
   */
  static byte[] rgb() {
    return new MachineRowsCode().writeRgb(true);
  }

  /**
   * Interleaves three planes to RGB. Parameters: red, green, blue, the result; then the number of
   * pixels.
   */
  static byte[] interleave() {
    return new MachineRowsCode().writeRgb(false);
  }

  private byte[] writeRgb(boolean convert) {
    final Reg width = Reg.R8;
    MachineCode.Frame frame = MachineCode.Frame.enter(code);
    var constants = new Label();
    code.lea(CONSTANTS, constants);
    for (int i = 0; i < 2; i++) {
      code.vmovups(Vec.ymm(14 + i), constant(MASKS + i));
    }
    code.lea(LAST, mem(width, -PIXELS_PER_ITERATION));
    code.mov(AT, 0);
    var start = new Label();
    code.bind(start);
    code.vmovups(Vec.ymm(0), mem(Reg.RDI, AT, 1));
    code.vmovups(Vec.ymm(1), mem(Reg.RSI, AT, 1));
    code.vmovups(Vec.ymm(2), mem(Reg.RDX, AT, 1));
    if (convert) {
      colors(Packed.VPUNPCKLBW, 6);
      colors(Packed.VPUNPCKHBW, 9);
    }
    for (int color = 0; color < 3; color++) {
      if (convert) {
        code.packed(Packed.VPACKSSWB, color, 6 + color, 9 + color);
      }
      code.packed(Packed.VPXOR, color, color, constant(CENTER));
      code.packed(Packed.VPSHUFB, color, color, constant(SHUFFLES + color));
    }
    store();
    loop(start, PIXELS_PER_ITERATION);
    frame.leave();
    code.align(VECTOR);
    code.bind(constants);
    constants();
    return code.code();
  }

  /**
   * Red, green and blue of half of the pixels, less 128, as words in three registers.
   *
   * @param unpack selects the half
   */
  private void colors(Packed unpack, int to) {
    final int y = 3;
    final int cb = 4;
    final int cr = 5;
    for (int i = 0; i < 3; i++) {
      code.packed(unpack, y + i, i, i);
      code.shift(Shift.VPSRAW, y + i, y + i, 8);
    }
    final int green = to + 1;
    final int t = to + 2;
    code.packed(Packed.VPUNPCKLWD, green, cb, cr);
    code.packed(Packed.VPUNPCKHWD, t, cb, cr);
    for (int sum : new int[] {green, t}) {
      code.packed(Packed.VPMADDWD, sum, sum, constant(TO_G));
      code.packed(Packed.VPADDD, sum, sum, constant(HALF));
      code.shift(Shift.VPSRAD, sum, sum, 16);
    }
    code.packed(Packed.VPACKSSDW, green, green, t);
    code.packed(Packed.VPSUBW, green, green, cr);
    code.packed(Packed.VPADDW, green, green, y);
    product(to, cr, CR_TO_R);
    code.packed(Packed.VPADDW, to, to, cr);
    code.packed(Packed.VPADDW, to, to, y);
    product(to + 2, cb, CB_TO_B);
    code.packed(Packed.VPADDW, to + 2, to + 2, cb);
    code.packed(Packed.VPADDW, to + 2, to + 2, cb);
    code.packed(Packed.VPADDW, to + 2, to + 2, y);
  }

  /** The upper half of a 32-bit product, rounded: of twice the number, then halved. */
  private void product(int to, int number, int factor) {
    code.packed(Packed.VPADDW, to, number, number);
    code.packed(Packed.VPMULHW, to, to, constant(factor));
    code.packed(Packed.VPADDW, to, to, constant(ONE));
    code.shift(Shift.VPSRAW, to, to, 1);
  }

  /**
   * Converts three vectors of one color each to three vectors of pixels. Within 16 bytes of the
   * result, the shuffled bytes of the three colors have different positions.
   */
  private void store() {
    for (int i = 0; i < 3; i++) {
      int first = i; // the color of the first, fourth, … byte of the result: (16 · i) mod 3 = i
      int second = (i + 1) % 3;
      int third = (i + 2) % 3;
      code.vpblendvb(Vec.ymm(3 + i), Vec.ymm(first), Vec.ymm(second), Vec.ymm(14));
      code.vpblendvb(Vec.ymm(3 + i), Vec.ymm(3 + i), Vec.ymm(third), Vec.ymm(15));
    }
    code.vperm2i128(Vec.ymm(6), Vec.ymm(3), 0, Vec.ymm(4), 0);
    code.vperm2i128(Vec.ymm(7), Vec.ymm(5), 0, Vec.ymm(3), 1);
    code.vperm2i128(Vec.ymm(8), Vec.ymm(4), 1, Vec.ymm(5), 1);
    code.lea(Reg.RBX, mem(AT, AT, 2));
    for (int i = 0; i < 3; i++) {
      code.vmovups(new Mem(Reg.RCX, Reg.RBX, 1, i * VECTOR), Vec.ymm(6 + i));
    }
  }

  private void constants() {
    fill(91_881 - (1 << 16)); // 0.402
    fill(116_130 - (2 << 16)); // -0.228
    for (int i = 0; i < VECTOR / 4; i++) {
      code.words(-22_554, (1 << 16) - 46_802); // -0.344136286, 0.285863714
    }
    for (int i = 0; i < VECTOR / 4; i++) {
      code.words(1 << 15, 0);
    }
    fill(1);
    fill(0x8080);
    for (int color = 0; color < 3; color++) {
      byte[] shuffle = new byte[16];
      for (int pixel = 0; pixel < 16; pixel++) {
        shuffle[(3 * pixel + color) % 16] = (byte) pixel;
      }
      halves(shuffle);
    }
    for (int place = 1; place < 3; place++) {
      byte[] mask = new byte[16];
      for (int i = place; i < 16; i += 3) {
        mask[i] = -1;
      }
      halves(mask);
    }
  }

  /** The same 16 bytes in both halves of a vector. */
  private void halves(byte[] bytes) {
    for (int i = 0; i < VECTOR; i += 2) {
      code.words(bytes[i % 16] & 0xff | bytes[(i + 1) % 16] << 8);
    }
  }
}
