package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.Assembler.Label;
import org.jspecify.annotations.Nullable;

/**
 * Writes a function in the instructions that all processors have. The kernels whose code differs
 * only in its encoding are written with it once; {@link X86Code} and {@link Arm64Code} encode them.
 *
 * <p>A function's parameters are pointers and integers of 64 bits. The first six are in {@link
 * Gpr#A0} to {@link Gpr#A5}, the others in memory. Vectors are registers 0 to 15, or to 30 if
 * {@link Target#registers} is 32.
 */
interface VectorCode {
  /** General registers: six that hold parameters first, and eight others. */
  enum Gpr {
    A0,
    A1,
    A2,
    A3,
    A4,
    A5,
    T0,
    T1,
    T2,
    T3,
    T4,
    T5,
    T6,
    T7
  }

  /**
   * A place in memory.
   *
   * @param base the register with its address; null for the function's scratch memory
   * @param offset bytes after it
   */
  record At(@Nullable Gpr base, int offset) {}

  static At at(Gpr base, int offset) {
    return new At(base, offset);
  }

  /** A place in the scratch memory that {@link #enter} reserved. */
  static At scratch(int offset) {
    return new At(null, offset);
  }

  /** The machine code. */
  byte[] code();

  /** The number of floats of a vector. */
  int lanes();

  /** The number of bytes of a vector. */
  default int bytes() {
    return lanes() * Float.BYTES;
  }

  Vec vec(int number);

  // --- functions and jumps ----------------------------------------------------------------------

  /**
   * Starts the function.
   *
   * @param scratch bytes of memory that it needs for itself
   */
  void enter(int scratch);

  /** Returns. */
  void leave();

  void bind(Label label);

  /** Aligns the start of a loop. */
  void align();

  /** Subtracts one, and jumps if the result is not zero. */
  void loop(Gpr count, Label again);

  /** {@link #loop} with a parameter in memory. */
  void loop(int parameter, Label again);

  void jumpIfLess(Gpr value, int than, Label to);

  void jumpIfNotEqual(Gpr value, int to, Label label);

  // --- general registers ------------------------------------------------------------------------

  void move(Gpr to, Gpr from);

  void set(Gpr to, int value);

  void add(Gpr to, Gpr value);

  void add(Gpr to, int value);

  /** {@code to = a + b}. */
  void sum(Gpr to, Gpr a, Gpr b);

  /**
   * Loads a parameter from memory.
   *
   * @param index from 6 on
   */
  void parameter(Gpr to, int index);

  /** Adds a parameter that is in memory. */
  void addParameter(Gpr to, int index);

  /** Adds to a parameter in memory. */
  void addToParameter(int index, Gpr value);

  /** Loads an integer of 32 bits. */
  void loadInt(Gpr to, Gpr from);

  /** {@code to = base + 4 * *list++}: the address of the next entry of a list of offsets. */
  void next(Gpr to, Gpr base, Gpr list);

  /** Prefetches a line into the L2 cache; the offset is a multiple of 8. */
  void prefetch(At line);

  /** Prefetches a line that will be written; the offset is a multiple of 8. */
  void prefetchForWriting(At line);

  // --- vectors ----------------------------------------------------------------------------------

  void load(Vec to, At from);

  void store(At to, Vec from);

  /** Loads a vector of floats from another format. */
  void load(Vec to, At from, Format format);

  /**
   * Stores a vector of floats in another format, rounded.
   *
   * @param scratch overwritten
   */
  void store(At to, Vec from, Format format, Vec scratch);

  /** Loads one float. */
  void loadFloat(Vec to, At from);

  /** Stores the first float. */
  void storeFloat(At to, Vec from);

  void move(Vec to, Vec from);

  /** Sets all bits to zero. */
  void clear(Vec to);

  /**
   * Repeats the same bits in all lanes.
   *
   * @param scratch overwritten
   */
  void constant(Vec to, int bits, Gpr scratch);

  /** Repeats the lower half of a register in all lanes. */
  void repeat(Vec to, Gpr bits);

  void add(Vec to, Vec a, Vec b);

  void add(Vec to, Vec a, At b);

  void sub(Vec to, Vec a, Vec b);

  void mul(Vec to, Vec a, Vec b);

  /** The product of the first floats; the others are undefined. */
  void mulFloat(Vec to, Vec a, At b);

  /** {@code sum += a * b}, rounded once. */
  void multiplyAdd(Vec sum, Vec a, Vec b);

  void multiplyAdd(Vec sum, Vec a, At b);

  /**
   * Replaces negative numbers by zero; keeps NaN and -0.
   *
   * @param zero a register with zeros
   */
  void relu(Vec values, Vec zero);

  /** {@code to = a > b ? from : 0}; {@code to} differs from the others. */
  void selectGreater(Vec to, Vec from, Vec a, Vec b);

  /** {@code to = a == b ? from : 0}; {@code to} differs from the others. */
  void selectEqual(Vec to, Vec from, Vec a, Vec b);

  /**
   * {@code max = maximum(max, b)} of floats; NaN if one of them is NaN.
   *
   * @param format that of b
   * @param scratch two registers, overwritten
   */
  void maximum(Vec max, At b, Format format, Vec scratch);

  /** The maximum of unsigned bytes. */
  void maximumOfBytes(Vec max, At b);

  /** The maximum of unsigned integers of 16 bits. */
  void maximumOfShorts(Vec max, At b);

  /**
   * Rounds floats to bfloat16, half to even.
   *
   * @param belowHalf a register that holds {@link Macros#BELOW_HALF}
   */
  void round(Vec floats, Vec belowHalf, Vec scratch);

  /**
   * Rounds two vectors of floats to bfloat16 and joins them: each word of the first becomes a pair
   * with the second's number. The second is overwritten.
   */
  void pair(Vec first, Vec second);
}
