package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.VectorCode.at;

import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.VectorCode.At;
import io.github.resnet4j.kernel.VectorCode.Gpr;

/**
 * The code of {@link PoolKernels#weighted}: sums of one row of results, with all channels of a
 * pixel in registers. A list has two words for each tap: the offset of its pixel, in words, and the
 * bits of its weight.
 */
final class MachineWeightedCode {
  /** All constants of the code. */
  record Constants(
      Format in, Format out, int channels, int rowTaps, int columnTaps, boolean adds) {}

  /** The number of bytes of a tap in a list. */
  static final int ENTRY = 2 * Integer.BYTES;

  // The parameters are in these six.
  private static final Gpr ARENA = Gpr.A0;
  private static final Gpr ROW_LIST = Gpr.A1;
  private static final Gpr COLUMN_LIST = Gpr.A2;
  private static final Gpr FROM = Gpr.A3;
  private static final Gpr TO = Gpr.A4;
  private static final Gpr COUNT = Gpr.A5;

  private static final Gpr[] ROWS = {Gpr.T0, Gpr.T1, Gpr.T2};
  private static final Gpr LIST = Gpr.T3;
  private static final Gpr PIXEL = Gpr.T4;
  private static final Gpr BITS = Gpr.T5;

  private final Constants constants;
  private final VectorCode code;
  private final int vectors;

  MachineWeightedCode(Constants constants, VectorCode code) {
    this.constants = constants;
    this.code = code;
    this.vectors = constants.channels / code.lanes();
  }

  /** The list of an axis, whose positions are {@code stride} words apart. */
  static Ints list(Axis axis, int stride) {
    int[] list = new int[2 * axis.positions().size()];
    for (int i = 0; i < list.length; i += 2) {
      list[i] = Math.multiplyExact(axis.positions().get(i / 2), stride);
      list[i + 1] = axis.weights().get(i / 2);
    }
    return Ints.of(list);
  }

  /**
   * Parameters: arena, rows, columns; then from and to in bytes, the number of results, and the
   * offset of the row in the list of rows, in bytes.
   */
  byte[] generate() {
    code.enter(0);
    code.add(FROM, ARENA);
    code.add(TO, ARENA);
    code.addParameter(ROW_LIST, 6);
    Vec rowWeight = code.vec(vectors);
    Vec weight = rowWeight.plus(constants.rowTaps);
    Vec value = weight.plus(1);
    Vec belowHalf = value.plus(1);
    for (int i = 0; i < constants.rowTaps; i++) {
      tap(ROWS[i], FROM, ROW_LIST, rowWeight.plus(i));
    }
    if (constants.out == Format.ROUNDED) {
      code.constant(belowHalf, Macros.BELOW_HALF, BITS);
    }
    var pixel = new Label();
    code.align();
    code.bind(pixel);
    for (int v = 0; v < vectors; v++) {
      if (constants.adds) {
        code.load(code.vec(v), result(v), constants.out);
      } else {
        code.clear(code.vec(v));
      }
    }
    for (int i = 0; i < constants.rowTaps; i++) {
      code.move(LIST, COLUMN_LIST);
      for (int j = 0; j < constants.columnTaps; j++) {
        tap(PIXEL, ROWS[i], LIST, weight);
        code.mul(weight, weight, rowWeight.plus(i));
        for (int v = 0; v < vectors; v++) {
          At from = at(PIXEL, bytes(v, constants.in));
          if (constants.in == Format.FP32) {
            code.multiplyAdd(code.vec(v), weight, from);
          } else {
            code.load(value, from, constants.in);
            code.multiplyAdd(code.vec(v), weight, value);
          }
        }
      }
    }
    for (int v = 0; v < vectors; v++) {
      store(result(v), code.vec(v), value, belowHalf);
    }
    code.add(COLUMN_LIST, constants.columnTaps * ENTRY);
    code.add(TO, bytes(vectors, constants.out));
    code.loop(COUNT, pixel);
    code.leave();
    return code.code();
  }

  /** Reads the next tap of a list: the address of its pixel, and its weight in all lanes. */
  private void tap(Gpr pixel, Gpr base, Gpr list, Vec weight) {
    code.next(pixel, base, list);
    code.loadInt(BITS, list);
    code.add(list, Integer.BYTES);
    code.repeat(weight, BITS);
  }

  private void store(At to, Vec sum, Vec scratch, Vec belowHalf) {
    if (constants.out == Format.ROUNDED) {
      code.round(sum, belowHalf, scratch);
      code.store(to, sum);
      return;
    }
    if (constants.out == Format.U8) {
      code.clear(scratch);
      code.relu(sum, scratch);
    }
    code.store(to, sum, constants.out, scratch);
  }

  /** The number of bytes of some vectors of channels. */
  private int bytes(int count, Format format) {
    return count * code.bytes() / format.perWord();
  }

  private At result(int v) {
    return at(TO, bytes(v, constants.out));
  }
}
