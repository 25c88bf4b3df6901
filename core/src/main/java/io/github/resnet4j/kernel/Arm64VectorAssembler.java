package io.github.resnet4j.kernel;

/**
 * Adds the instructions on vectors of 128 bits (Arm Architecture Reference Manual, chapter C7). A
 * method has the name of its instruction; where one name stands for several sizes of elements, the
 * number and size of elements follow.
 */
final class Arm64VectorAssembler extends Arm64Assembler {
  /** A register for addresses that do not fit into a load or store. */
  private static final X ADDRESS = X.X16;

  // --- loads and stores -------------------------------------------------------------------------

  /** The part of a register that a load or store transfers; a load sets the rest to zero. */
  enum Part {
    /** 32 bits. */
    S(4, 0xBD000000, 0xBC000000),
    /** 64 bits. */
    D(8, 0xFD000000, 0xFC000000),
    /** 128 bits. */
    Q(16, 0x3D800000, 0x3C800000);

    private final int bytes;
    private final int store;
    private final int unscaledStore;

    Part(int bytes, int store, int unscaledStore) {
      this.bytes = bytes;
      this.store = store;
      this.unscaledStore = unscaledStore;
    }

    int bytes() {
      return bytes;
    }
  }

  private static final int LOAD = 0x00400000;

  /** Loads from any offset; x16 is overwritten if the offset does not fit. */
  void ldr(Part part, Vec to, X base, int offset) {
    access(part, LOAD, to, base, offset);
  }

  /** Stores to any offset; x16 is overwritten if the offset does not fit. */
  void str(Part part, Vec from, X base, int offset) {
    access(part, 0, from, base, offset);
  }

  private void access(Part part, int load, Vec vec, X base, int offset) {
    if (fitsScaled(offset, part.bytes)) {
      emit(
          part.store
              | load
              | field(offset / part.bytes, 12, 10)
              | base.number() << 5
              | vec.number());
    } else if (fitsUnscaled(offset)) {
      emit(
          part.unscaledStore
              | load
              | signedField(offset, 9, 12)
              | base.number() << 5
              | vec.number());
    } else {
      add(ADDRESS, base, offset, ADDRESS);
      access(part, load, vec, ADDRESS, 0);
    }
  }

  /** Loads from {@code base + index}. */
  void ldr(Part part, Vec to, X base, X index) {
    emit(part.unscaledStore | LOAD | 0x00206800 | three(to, base, index));
  }

  /** Stores to {@code base + index}. */
  void str(Part part, Vec from, X base, X index) {
    emit(part.unscaledStore | 0x00206800 | three(from, base, index));
  }

  private static int three(Vec vec, X base, X index) {
    return index.number() << 16 | base.number() << 5 | vec.number();
  }

  /** Stores the lower halves of two registers; offsets are multiples of 8 below 512. */
  void stpD(Vec first, Vec second, X base, int offset) {
    emit(0x6D000000 | pair(first.number(), second.number(), base, scaled(offset, 8)));
  }

  void ldpD(Vec first, Vec second, X base, int offset) {
    emit(0x6D400000 | pair(first.number(), second.number(), base, scaled(offset, 8)));
  }

  // --- moves ------------------------------------------------------------------------------------

  private void three(int word, Vec a, Vec b, Vec c) {
    emit(word | c.number() << 16 | b.number() << 5 | a.number());
  }

  private void two(int word, Vec a, Vec b) {
    emit(word | b.number() << 5 | a.number());
  }

  void mov(Vec to, Vec from) {
    three(0x4EA01C00, to, from, from);
  }

  /** Sets all bits to zero. */
  void moviZero(Vec to) {
    emit(0x6F00E400 | to.number());
  }

  /** Sets all bytes. */
  void movi16b(Vec to, int value) {
    emit(0x4F00E400 | field(value, 8, 0) >> 5 << 16 | (value & 31) << 5 | to.number());
  }

  /** Repeats the lower half of a general register in all lanes. */
  void dup4s(Vec to, X from) {
    emit(0x4E040C00 | from.number() << 5 | to.number());
  }

  // --- floats -----------------------------------------------------------------------------------

  /** {@code a += b * c}. */
  void fmla(Vec a, Vec b, Vec c) {
    three(0x4E20CC00, a, b, c);
  }

  /**
   * {@code a += b * c[lane]}.
   *
   * @param lane from 0 to 3
   */
  void fmla(Vec a, Vec b, Vec c, int lane) {
    three(0x4F801000 | lane(lane), a, b, c);
  }

  /** A lane of 32 bits. */
  private static int lane(int lane) {
    return (field(lane, 2, 0) & 1) << 21 | lane >> 1 << 11;
  }

  void fadd(Vec to, Vec a, Vec b) {
    three(0x4E20D400, to, a, b);
  }

  void fsub(Vec to, Vec a, Vec b) {
    three(0x4EA0D400, to, a, b);
  }

  void fmul(Vec to, Vec a, Vec b) {
    three(0x6E20DC00, to, a, b);
  }

  /** The first float only; sets the rest to zero. */
  void fmulS(Vec to, Vec a, Vec b) {
    three(0x1E200800, to, a, b);
  }

  /** NaN if one of them is NaN; the maximum of -0 and 0 is 0. */
  void fmax(Vec to, Vec a, Vec b) {
    three(0x4E20F400, to, a, b);
  }

  void fcmgt(Vec to, Vec a, Vec b) {
    three(0x6EA0E400, to, a, b);
  }

  void fcmeq(Vec to, Vec a, Vec b) {
    three(0x4E20E400, to, a, b);
  }

  /** All ones in the lanes that are less than zero. */
  void fcmltZero(Vec to, Vec a) {
    two(0x4EA0E800, to, a);
  }

  // --- integers ---------------------------------------------------------------------------------

  void and(Vec to, Vec a, Vec b) {
    three(0x4E201C00, to, a, b);
  }

  /** {@code to = a & ~b}. */
  void bic(Vec to, Vec a, Vec b) {
    three(0x4E601C00, to, a, b);
  }

  void eor(Vec to, Vec a, Vec b) {
    three(0x6E201C00, to, a, b);
  }

  void add4s(Vec to, Vec a, Vec b) {
    three(0x4EA08400, to, a, b);
  }

  void neg4s(Vec to, Vec a) {
    two(0x6EA0B800, to, a);
  }

  void umax8h(Vec to, Vec a, Vec b) {
    three(0x6E606400, to, a, b);
  }

  void umax16b(Vec to, Vec a, Vec b) {
    three(0x6E206400, to, a, b);
  }

  void ushr4s(Vec to, Vec a, int bits) {
    two(0x6F200400 | field(32 - bits, 5, 16), to, a);
  }

  void shl4s(Vec to, Vec a, int bits) {
    two(0x4F205400 | field(bits, 5, 16), to, a);
  }

  // --- conversions ------------------------------------------------------------------------------

  /** Integers to floats. */
  void scvtf(Vec to, Vec a) {
    two(0x4E21D800, to, a);
  }

  /** Floats to integers, rounded half to even, with saturation. */
  void fcvtns(Vec to, Vec a) {
    two(0x4E21A800, to, a);
  }

  /** Halves the size of four signed integers, with saturation. */
  void sqxtn4h(Vec to, Vec a) {
    two(0x0E614800, to, a);
  }

  /** Halves the size of eight signed integers, with saturation. */
  void sqxtn8b(Vec to, Vec a) {
    two(0x0E214800, to, a);
  }

  /** Halves the size of eight signed integers, with saturation to unsigned ones. */
  void sqxtun8b(Vec to, Vec a) {
    two(0x2E212800, to, a);
  }

  /** Doubles the size of eight unsigned bytes. */
  void uxtl8h(Vec to, Vec a) {
    two(0x2F08A400, to, a);
  }

  /** Doubles the size of eight signed bytes. */
  void sxtl8h(Vec to, Vec a) {
    two(0x0F08A400, to, a);
  }

  /** Doubles the size of four unsigned integers of 16 bits. */
  void uxtl4s(Vec to, Vec a) {
    two(0x2F10A400, to, a);
  }

  /** Doubles the size of four signed integers of 16 bits. */
  void sxtl4s(Vec to, Vec a) {
    two(0x0F10A400, to, a);
  }

  /** Moves four integers of 16 bits to the upper halves of 32 bits: bfloat16 to floats. */
  void shll4s16(Vec to, Vec a) {
    two(0x2E613800, to, a);
  }

  // --- bfloat16 (FEAT_BF16) ---------------------------------------------------------------------

  /** Rounds four floats to bfloat16, half to even. */
  void bfcvtn(Vec to, Vec a) {
    two(0x0EA16800, to, a);
  }

  /**
   * {@code a[i] += b[2i] * c[element]}, rounded once.
   *
   * @param c one of the first 16 registers
   * @param element from 0 to 7
   */
  void bfmlalb(Vec a, Vec b, Vec c, int element) {
    bfmlal(0x0FC0F000, a, b, c, element);
  }

  /** {@code a[i] += b[2i + 1] * c[element]}; see {@link #bfmlalb}. */
  void bfmlalt(Vec a, Vec b, Vec c, int element) {
    bfmlal(0x4FC0F000, a, b, c, element);
  }

  private void bfmlal(int word, Vec a, Vec b, Vec c, int element) {
    int bits = field(element, 3, 0);
    field(c.number(), 4, 0);
    three(word | (bits & 1) << 20 | (bits >> 1 & 1) << 21 | bits >> 2 << 11, a, b, c);
  }

  // --- products of bytes ------------------------------------------------------------------------

  /** Adds to each lane the sum of four products of signed bytes (FEAT_DotProd). */
  void sdot(Vec a, Vec b, Vec c) {
    three(0x4E809400, a, b, c);
  }

  /** The same with the bytes of one lane of {@code c}. */
  void sdot(Vec a, Vec b, Vec c, int lane) {
    three(0x4F80E000 | lane(lane), a, b, c);
  }

  /** Signed bytes of {@code b} times unsigned ones of a lane of {@code c} (FEAT_I8MM). */
  void sudot(Vec a, Vec b, Vec c, int lane) {
    three(0x4F00F000 | lane(lane), a, b, c);
  }
}
