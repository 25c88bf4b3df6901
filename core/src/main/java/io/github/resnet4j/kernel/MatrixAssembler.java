package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Vec.Width;

/**
 * Adds the instructions of AMX, which multiply matrices in registers.
 *
 * <p>Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
 */
abstract class MatrixAssembler extends VectorEncoder {
  private static final Opcode LDTILECFG = Opcode.of0F38(0x49);
  private static final Opcode TILEZERO = Opcode.ofF20F38(0x49);
  private static final Opcode TILELOADD = Opcode.ofF20F38(0x4B);
  private static final Opcode TILESTORED = Opcode.ofF30F38(0x4B);
  private static final Opcode TDPBF16PS = Opcode.ofF30F38(0x5C);
  private static final Opcode TDPBUSD = Opcode.of660F38(0x5E);

  /**
   * A register that holds a matrix of up to 16 rows of 64 bytes.
   *
   * @param number from 0 to 7
   */
  record Matrix(int number) {
    /**
     * @throws IllegalArgumentException if no processor has this register
     */
    Matrix {
      if (number < 0 || number >= 8) {
        throw new IllegalArgumentException("no matrix register " + number);
      }
    }
  }

  MatrixAssembler(Width longest) {
    super(longest);
  }

  /** Sets the size of all matrices, from 64 bytes of memory, and clears them. */
  void ldtilecfg(Mem from) {
    memory(LDTILECFG, Vec.xmm(0), 0, from, 1);
  }

  /** Clears all matrices and their sizes. */
  void tilerelease() {
    registers(LDTILECFG, Width.XMM, 0, 0, 0, 0);
  }

  void tilezero(Matrix to) {
    registers(TILEZERO, Width.XMM, to.number, 0, 0, 0);
  }

  /**
   * Loads a matrix.
   *
   * @param from the address of the first row; the index register times the scale is the distance of
   *     the rows in bytes
   */
  void tileloadd(Matrix to, Mem from) {
    memory(TILELOADD, Vec.xmm(to.number), 0, from, 1);
  }

  /**
   * Stores a matrix.
   *
   * @param to the address of the first row, as in {@link #tileloadd}
   */
  void tilestored(Mem to, Matrix from) {
    memory(TILESTORED, Vec.xmm(from.number), 0, to, 1);
  }

  /** {@code sum += a * b}: pairs of bfloat16 times pairs of bfloat16, with sums of floats. */
  void tdpbf16ps(Matrix sum, Matrix a, Matrix b) {
    product(TDPBF16PS, sum, a, b);
  }

  /** {@code sum += a * b}: four unsigned bytes times four signed bytes, with sums of integers. */
  void tdpbusd(Matrix sum, Matrix a, Matrix b) {
    product(TDPBUSD, sum, a, b);
  }

  private void product(Opcode opcode, Matrix sum, Matrix a, Matrix b) {
    if (sum.equals(a) || sum.equals(b) || a.equals(b)) {
      throw new IllegalArgumentException("%s, %s and %s must differ".formatted(sum, a, b));
    }
    registers(opcode, Width.XMM, sum.number, b.number, a.number, 0);
  }
}
