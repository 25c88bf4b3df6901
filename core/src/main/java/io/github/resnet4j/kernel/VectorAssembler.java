package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Vec.Width;

/**
 * Adds vector instructions: of AVX2 and FMA, and, if the longest vectors have 512 bits, of AVX-512.
 */
final class VectorAssembler extends MatrixAssembler {
  private static final Opcode VMOVUPS = Opcode.of0F(0x10);
  private static final Opcode VMOVUPS_STORE = Opcode.of0F(0x11);
  private static final Opcode VMOVAPS = Opcode.of0F(0x28);
  private static final Opcode VBROADCASTSS = Opcode.of660F38(0x18);
  private static final Opcode VADDPS = Opcode.of0F(0x58);
  private static final Opcode VMULPS = Opcode.of0F(0x59);
  private static final Opcode VSUBPS = Opcode.of0F(0x5C);
  private static final Opcode VMAXPS = Opcode.of0F(0x5F);
  private static final Opcode VFMADD213PS = Opcode.of660F38(0xA8);
  private static final Opcode VFMADD231PS = Opcode.of660F38(0xB8);
  private static final Opcode VCMPPS = Opcode.of0F(0xC2);
  private static final Opcode VANDPS = Opcode.of0F(0x54);
  private static final Opcode VORPS = Opcode.of0F(0x56);
  private static final Opcode VPXOR = Opcode.of660F(0xEF); // in EVEX vpxord
  private static final Opcode VDPBF16PS = Opcode.ofF30F38(0x52);
  private static final Opcode VCVTNEPS2BF16 = Opcode.ofF30F38(0x72);
  private static final Opcode VCVTNE2PS2BF16 = Opcode.ofF20F38(0x72);
  private static final Opcode VPDPBUSD = Opcode.of660F38(0x50);
  private static final Opcode VPMOVSXBD = Opcode.of660F38(0x21);
  private static final Opcode VPMOVZXBD = Opcode.of660F38(0x31);
  private static final Opcode VPMOVZXWD = Opcode.of660F38(0x33);
  private static final Opcode VPMOVSDB = Opcode.ofF30F38(0x21);
  private static final Opcode VPMOVUSDB = Opcode.ofF30F38(0x11);
  private static final Opcode VPSHIFTD = Opcode.of660F(0x72);
  private static final Opcode VPSHIFTW = Opcode.of660F(0x71);
  private static final Opcode VPADDD = Opcode.of660F(0xFE);
  private static final Opcode VPAND = Opcode.of660F(0xDB); // in EVEX vpandd
  private static final Opcode VPMADDWD = Opcode.of660F(0xF5);
  private static final Opcode VUNPCKLPS = Opcode.of0F(0x14);
  private static final Opcode VUNPCKHPS = Opcode.of0F(0x15);
  private static final Opcode VSHUFPS = Opcode.of0F(0xC6);
  private static final Opcode VSHUFF32X4 = Opcode.of660F3A(0x23);
  private static final Opcode VCVTDQ2PS = Opcode.of0F(0x5B);
  private static final Opcode VCVTPS2DQ = Opcode.of660F(0x5B);
  private static final Opcode VPMAXUW = Opcode.of660F38(0x3E);
  private static final Opcode VPMAXUB = Opcode.of660F(0xDE);
  private static final Opcode VEXTRACTI128 = Opcode.of660F3A(0x39);
  private static final Opcode VPACKSSDW = Opcode.of660F(0x6B);
  private static final Opcode VPACKSSWB = Opcode.of660F(0x63);
  private static final Opcode VPACKUSWB = Opcode.of660F(0x67);
  private static final Opcode VPBLENDVB = Opcode.of660F3A(0x4C);
  private static final Opcode VPMOVSXBW = Opcode.of660F38(0x20);
  private static final Opcode VBROADCASTI128 = Opcode.of660F38(0x5A);
  private static final Opcode VINSERTI128 = Opcode.of660F3A(0x38);
  private static final Opcode VPERM2I128 = Opcode.of660F3A(0x46);
  private static final Opcode VPTEST = Opcode.of660F38(0x17);
  private static final Opcode VMOVQ_STORE = Opcode.of660F(0xD6);
  private static final Opcode VMOVD = Opcode.of660F(0x6E);
  private static final Opcode VMOVSS = Opcode.ofF30F(0x10);
  private static final Opcode VMOVSS_STORE = Opcode.ofF30F(0x11);
  private static final Opcode VMULSS = Opcode.ofF30F(0x59);

  /**
   * @param longest the longest vectors of the target processor
   */
  VectorAssembler(Width longest) {
    super(longest);
  }

  // --- floats -----------------------------------------------------------------------------------

  void vmovups(Vec to, Mem from) {
    memory(VMOVUPS, to, 0, from, to.width().bytes());
  }

  void vmovups(Mem to, Vec from) {
    memory(VMOVUPS_STORE, from, 0, to, from.width().bytes());
  }

  void vmovaps(Vec to, Vec from) {
    two(VMOVAPS, to, from);
  }

  /** Only the lanes whose bit is set in a mask register. */
  void vmovaps(Vec to, Mask mask, Vec from) {
    checkAlike(to, from);
    registers(VMOVAPS, to.width(), to.number(), 0, from.number(), mask.ordinal());
  }

  /** Repeats one float from memory in all lanes. */
  void vbroadcastss(Vec to, Mem from) {
    memory(VBROADCASTSS, to, 0, from, Float.BYTES);
  }

  /** Repeats the lowest lane in all lanes. */
  void vbroadcastss(Vec to, Vec from) {
    checkAlike(from, Vec.xmm(0));
    registers(VBROADCASTSS, to.width(), to.number(), 0, from.number(), 0);
  }

  void vaddps(Vec to, Vec a, Vec b) {
    three(VADDPS, to, a, b);
  }

  void vaddps(Vec to, Vec a, Mem b) {
    three(VADDPS, to, a, b);
  }

  void vsubps(Vec to, Vec a, Vec b) {
    three(VSUBPS, to, a, b);
  }

  void vmulps(Vec to, Vec a, Vec b) {
    three(VMULPS, to, a, b);
  }

  void vmulps(Vec to, Vec a, Mem b) {
    three(VMULPS, to, a, b);
  }

  /** {@code a > b ? a : b}; if one is NaN, or both are zeros, b. */
  void vmaxps(Vec to, Vec a, Vec b) {
    three(VMAXPS, to, a, b);
  }

  /** {@code sum = sum * a + b}, rounded once. */
  void vfmadd213ps(Vec sum, Vec a, Mem b) {
    three(VFMADD213PS, sum, a, b);
  }

  void vfmadd213ps(Vec sum, Vec a, Vec b) {
    three(VFMADD213PS, sum, a, b);
  }

  /** {@code sum += a * b}, rounded once. */
  void vfmadd231ps(Vec sum, Vec a, Vec b) {
    three(VFMADD231PS, sum, a, b);
  }

  void vfmadd231ps(Vec sum, Vec a, Mem b) {
    three(VFMADD231PS, sum, a, b);
  }

  /** {@code sum += a * b}, where b is one float; AVX-512. */
  void vfmadd231psBroadcast(Vec sum, Vec a, Mem b) {
    broadcast(VFMADD231PS, sum, a, b);
  }

  void vandps(Vec to, Vec a, Vec b) {
    three(VANDPS, to, a, b);
  }

  void vorps(Vec to, Vec a, Vec b) {
    three(VORPS, to, a, b);
  }

  /** Comparisons of two floats, with the codes of vcmpps; EQUAL and GREATER are false for NaN. */
  enum Comparison {
    EQUAL(0x00),
    UNORDERED(0x03),
    GREATER(0x1E);

    private final int code;

    Comparison(int code) {
      this.code = code;
    }
  }

  /** Sets all bits of a lane where the comparison is true. */
  void vcmpps(Vec to, Vec a, Comparison comparison, Vec b) {
    checkAlike(to, a, b);
    if (a.width() == Width.ZMM || isHigh(to.number() | a.number() | b.number())) {
      throw new IllegalArgumentException("AVX-512 compares into mask registers");
    }
    three(VCMPPS, to, a, b);
    emit(comparison.code);
  }

  /** Mask registers of AVX-512, in the order of their numbers. */
  enum Mask {
    /** As an operand of instructions it means no mask. */
    K0,
    K1
  }

  /** Sets a bit of a mask register for each lane; 512 bits. */
  void vcmpps(Mask to, Vec a, Comparison comparison, Vec b) {
    checkAlike(a, b, Vec.zmm(0));
    registers(VCMPPS, a.width(), to.ordinal(), a.number(), b.number(), 0);
    emit(comparison.code);
  }

  // --- integers and bfloat16 --------------------------------------------------------------------

  /** Exclusive or; of a register with itself it is zero. */
  void vpxor(Vec to, Vec a, Vec b) {
    three(VPXOR, to, a, b);
  }

  void vpaddd(Vec to, Vec a, Vec b) {
    three(VPADDD, to, a, b);
  }

  /** Shifts lanes to the left. */
  void vpslld(Vec to, Vec from, int bits) {
    shift(VPSHIFTD, 6, to, from, bits);
  }

  /** Shifts lanes to the right, with zeros from the left. */
  void vpsrld(Vec to, Vec from, int bits) {
    shift(VPSHIFTD, 2, to, from, bits);
  }

  /** The same for lanes of 16 bits. */
  void vpsrlw(Vec to, Vec from, int bits) {
    shift(VPSHIFTW, 2, to, from, bits);
  }

  private void shift(Opcode opcode, int operation, Vec to, Vec from, int bits) {
    checkAlike(to, from);
    registers(opcode, to.width(), operation, to.number(), from.number(), 0);
    emit(bits);
  }

  void vpand(Vec to, Vec a, Vec b) {
    three(VPAND, to, a, b);
  }

  /** The sums of the products of two neighbouring numbers of 16 bits, in lanes of 32. */
  void vpmaddwd(Vec to, Vec a, Mem b) {
    three(VPMADDWD, to, a, b);
  }

  void vcvtdq2ps(Vec to, Vec from) {
    two(VCVTDQ2PS, to, from);
  }

  void vcvtdq2ps(Vec to, Mem from) {
    memory(VCVTDQ2PS, to, 0, from, to.width().bytes());
  }

  /** Converts floats to integers, rounded half to even. */
  void vcvtps2dq(Vec to, Vec from) {
    two(VCVTPS2DQ, to, from);
  }

  /** {@code sum += a₁ b₁, sum += a₀ b₀} on the bfloat16 halves of each lane; AVX512_BF16. */
  void vdpbf16ps(Vec sum, Vec a, Vec b) {
    checkAlike(sum, a, b, Vec.zmm(0));
    three(VDPBF16PS, sum, a, b);
  }

  void vdpbf16ps(Vec sum, Vec a, Mem b) {
    checkAlike(sum, a, Vec.zmm(0));
    three(VDPBF16PS, sum, a, b);
  }

  void vdpbf16psBroadcast(Vec sum, Vec a, Mem b) {
    broadcast(VDPBF16PS, sum, a, b);
  }

  /** Rounds 16 floats to bfloat16, into half a vector; AVX512_BF16. */
  void vcvtneps2bf16(Vec to, Vec from) {
    checkAlike(to, Vec.ymm(0));
    checkAlike(from, Vec.zmm(0));
    registers(VCVTNEPS2BF16, from.width(), to.number(), 0, from.number(), 0);
  }

  /**
   * Rounds the floats of two vectors to bfloat16; the lower half of the result is from {@code a}.
   */
  void vcvtne2ps2bf16(Vec to, Vec b, Vec a) {
    three(VCVTNE2PS2BF16, to, b, a);
  }

  /** {@code sum += a · b} over the four bytes of each lane, a's unsigned; AVX512_VNNI, AVX-VNNI. */
  void vpdpbusd(Vec sum, Vec a, Vec b) {
    three(VPDPBUSD, sum, a, b);
  }

  void vpdpbusd(Vec sum, Vec a, Mem b) {
    three(VPDPBUSD, sum, a, b);
  }

  /** Words of 16 bits into lanes of 32. */
  void vpmovzxwd(Vec to, Mem from) {
    memory(VPMOVZXWD, to, 0, from, to.width().bytes() / 2);
  }

  void vpmovzxwd(Vec to, Vec from) {
    checkAlike(from, Vec.ymm(0));
    checkAlike(to, Vec.zmm(0));
    registers(VPMOVZXWD, to.width(), to.number(), 0, from.number(), 0);
  }

  /** In each quarter: the lower two numbers of a and b, alternating. */
  void vunpcklps(Vec to, Vec a, Vec b) {
    three(VUNPCKLPS, to, a, b);
  }

  /** In each quarter: the upper two numbers of a and b, alternating. */
  void vunpckhps(Vec to, Vec a, Vec b) {
    three(VUNPCKHPS, to, a, b);
  }

  /** In each quarter: two numbers of a, then two of b, selected by two bits each. */
  void vshufps(Vec to, Vec a, Vec b, int selection) {
    three(VSHUFPS, to, a, b);
    emit(selection);
  }

  /** Two quarters of a, then two of b, selected by two bits each; 512 bits. */
  void vshuff32x4(Vec to, Vec a, Vec b, int selection) {
    checkAlike(to, Vec.zmm(0));
    three(VSHUFF32X4, to, a, b);
    emit(selection);
  }

  /** Bytes into lanes, zero-extended. */
  void vpmovzxbd(Vec to, Mem from) {
    memory(VPMOVZXBD, to, 0, from, to.width().bytes() / 4);
  }

  /** Bytes into lanes, sign-extended. */
  void vpmovsxbd(Vec to, Mem from) {
    memory(VPMOVSXBD, to, 0, from, to.width().bytes() / 4);
  }

  /** Lanes to signed bytes, with saturation; 512 bits. */
  void vpmovsdb(Mem to, Vec from) {
    checkAlike(from, Vec.zmm(0));
    memory(VPMOVSDB, from, 0, to, from.width().bytes() / 4);
  }

  /** Lanes, read as unsigned, to unsigned bytes, with saturation; 512 bits. */
  void vpmovusdb(Mem to, Vec from) {
    checkAlike(from, Vec.zmm(0));
    memory(VPMOVUSDB, from, 0, to, from.width().bytes() / 4);
  }

  /** The upper half of 256 bits. */
  void vextracti128(Vec to, Vec from) {
    checkAlike(to, Vec.xmm(0));
    checkAlike(from, Vec.ymm(0));
    registers(VEXTRACTI128, from.width(), from.number(), 0, to.number(), 0);
    emit(1);
  }

  /** Lanes of a, then of b, to words of 16 bits, with saturation. */
  void vpackssdw(Vec to, Vec a, Vec b) {
    three(VPACKSSDW, to, a, b);
  }

  /** Words of a, then of b, to signed bytes, with saturation. */
  void vpacksswb(Vec to, Vec a, Vec b) {
    three(VPACKSSWB, to, a, b);
  }

  /** Words of a, then of b, to unsigned bytes, with saturation. */
  void vpackuswb(Vec to, Vec a, Vec b) {
    three(VPACKUSWB, to, a, b);
  }

  /** The larger of unsigned 16-bit numbers. */
  void vpmaxuw(Vec to, Vec a, Mem b) {
    three(VPMAXUW, to, a, b);
  }

  /** The larger of unsigned bytes. */
  void vpmaxub(Vec to, Vec a, Mem b) {
    three(VPMAXUB, to, a, b);
  }

  // --- bytes and words, with 256 bits -----------------------------------------------------------

  /** Integer instructions in each half of a vector: {@code to = a (operation) b}. */
  enum Packed {
    VPUNPCKLBW(Opcode.of660F(0x60)),
    VPUNPCKLWD(Opcode.of660F(0x61)),
    VPUNPCKLDQ(Opcode.of660F(0x62)),
    VPACKSSWB(Opcode.of660F(0x63)),
    VPUNPCKHBW(Opcode.of660F(0x68)),
    VPUNPCKHWD(Opcode.of660F(0x69)),
    VPUNPCKHDQ(Opcode.of660F(0x6A)),
    VPACKSSDW(Opcode.of660F(0x6B)),
    VPUNPCKLQDQ(Opcode.of660F(0x6C)),
    VPUNPCKHQDQ(Opcode.of660F(0x6D)),
    VPMULLW(Opcode.of660F(0xD5)),
    VPAND(Opcode.of660F(0xDB)),
    VPMULHW(Opcode.of660F(0xE5)),
    VPOR(Opcode.of660F(0xEB)),
    VPXOR(Opcode.of660F(0xEF)),
    VPMADDWD(Opcode.of660F(0xF5)),
    VPSUBW(Opcode.of660F(0xF9)),
    VPSUBD(Opcode.of660F(0xFA)),
    VPADDW(Opcode.of660F(0xFD)),
    VPADDD(Opcode.of660F(0xFE)),
    VPSHUFB(Opcode.of660F38(0x00)),
    VPCMPEQQ(Opcode.of660F38(0x29));

    private final Opcode opcode;

    Packed(Opcode opcode) {
      this.opcode = opcode;
    }
  }

  /** Shifts of each number by a constant. */
  enum Shift {
    VPSRAW(0x71, 4),
    VPSLLW(0x71, 6),
    VPSRAD(0x72, 4);

    private final Opcode opcode;
    private final int operation;

    Shift(int code, int operation) {
      this.opcode = Opcode.of660F(code);
      this.operation = operation;
    }
  }

  private static void checkHalf(Vec... vectors) {
    for (Vec vector : vectors) {
      if (vector.width() != Width.YMM || isHigh(vector.number())) {
        throw new IllegalArgumentException(vector + " is none of the first 16 of 256 bits");
      }
    }
  }

  void packed(Packed instruction, Vec to, Vec a, Vec b) {
    checkHalf(to, a, b);
    three(instruction.opcode, to, a, b);
  }

  void packed(Packed instruction, Vec to, Vec a, Mem b) {
    checkHalf(to, a);
    three(instruction.opcode, to, a, b);
  }

  void shift(Shift instruction, Vec to, Vec from, int bits) {
    checkHalf(to, from);
    registers(instruction.opcode, Width.YMM, instruction.operation, to.number(), from.number(), 0);
    emit(bits);
  }

  /** The same with the numbers of 256-bit registers. */
  void packed(Packed instruction, int to, int a, int b) {
    packed(instruction, Vec.ymm(to), Vec.ymm(a), Vec.ymm(b));
  }

  /** The same with the numbers of 256-bit registers. */
  void packed(Packed instruction, int to, int a, Mem b) {
    packed(instruction, Vec.ymm(to), Vec.ymm(a), b);
  }

  /** The same with the numbers of 256-bit registers. */
  void shift(Shift instruction, int to, int from, int bits) {
    shift(instruction, Vec.ymm(to), Vec.ymm(from), bits);
  }

  /** {@code to = mask's byte is negative ? b : a}, byte by byte. */
  void vpblendvb(Vec to, Vec a, Vec b, Vec mask) {
    checkHalf(to, a, b, mask);
    three(VPBLENDVB, to, a, b);
    emit(mask.number() << 4);
  }

  /** Sixteen bytes to words, sign-extended. */
  void vpmovsxbw(Vec to, Mem from) {
    checkHalf(to);
    memory(VPMOVSXBW, to, 0, from, 16);
  }

  /** Repeats sixteen bytes in both halves. */
  void vbroadcasti128(Vec to, Mem from) {
    checkHalf(to);
    memory(VBROADCASTI128, to, 0, from, 16);
  }

  /** The lower half of a, with memory as the upper half. */
  void vinserti128(Vec to, Vec a, Mem upper) {
    checkHalf(to, a);
    memory(VINSERTI128, to, a.number(), upper, 16);
    emit(1);
  }

  /** Stores the upper half. */
  void vextracti128(Mem to, Vec from) {
    checkHalf(from);
    memory(VEXTRACTI128, from, 0, to, 16);
    emit(1);
  }

  /** Half of a as the lower half, half of b as the upper half; 1 selects the upper half. */
  void vperm2i128(Vec to, Vec a, int halfOfA, Vec b, int halfOfB) {
    checkHalf(to, a, b);
    three(VPERM2I128, to, a, b);
    emit(halfOfA | 2 + halfOfB << 4);
  }

  /** Permutes the four parts of 64 bits, the lowest first. */
  void vpermq(Vec to, Vec from, int first, int second, int third, int fourth) {
    checkHalf(to, from);
    emit(
        0xC4,
        (1 ^ high(to.number())) << 7 | 1 << 6 | (1 ^ high(from.number())) << 5 | 3,
        0x80 | 15 << 3 | 4 | 1, // W, no second operand, 256 bits, 66
        0x00,
        0xC0 | (to.number() & 7) << 3 | from.number() & 7,
        first | second << 2 | third << 4 | fourth << 6);
  }

  /** Compares with zero: {@link Condition#EQUAL} if a and b have no common bit. */
  void vptest(Vec a, Vec b) {
    checkHalf(a, b);
    two(VPTEST, a, b);
  }

  // --- single lanes, in the first 16 registers --------------------------------------------------

  private static void checkLow(Vec... vectors) {
    for (Vec vector : vectors) {
      if (vector.width() != Width.XMM || isHigh(vector.number())) {
        throw new IllegalArgumentException(vector + " is none of the first 16 of 128 bits");
      }
    }
  }

  /** The lower half of a general register to the lowest lane. */
  void vmovd(Vec to, Reg from) {
    checkLow(to);
    registers(VMOVD, Width.XMM, to.number(), 0, from.ordinal(), 0);
  }

  /** The lower 64 bits. */
  void vmovq(Mem to, Vec from) {
    checkLow(from);
    memory(VMOVQ_STORE, from, 0, to, Long.BYTES);
  }

  /** One float to the lowest lane. */
  void vmovss(Vec to, Mem from) {
    checkLow(to);
    memory(VMOVSS, to, 0, from, Float.BYTES);
  }

  void vmovss(Mem to, Vec from) {
    checkLow(from);
    memory(VMOVSS_STORE, from, 0, to, Float.BYTES);
  }

  /** {@code to = a * b} in the lowest lane. */
  void vmulss(Vec to, Vec a, Mem b) {
    checkLow(to, a);
    memory(VMULSS, to, a.number(), b, Float.BYTES);
  }

  /** Clears the upper halves, so that code without AVX is not slowed down. */
  void vzeroupper() {
    emit(0xC5, 0xF8, 0x77);
  }
}
