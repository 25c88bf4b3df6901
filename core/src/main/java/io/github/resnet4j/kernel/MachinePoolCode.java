package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.VectorCode.at;

import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.PoolKernels.Windows;
import io.github.resnet4j.kernel.VectorCode.At;
import io.github.resnet4j.kernel.VectorCode.Gpr;

/** The code of {@link MachinePool}, for one block size and window. */
final class MachinePoolCode {
  private MachinePoolCode() {}

  /** Whether numbers are compared as floats; others have the order of their bits. */
  static boolean comparesFloats(Format format, Windows windows) {
    return format.isFloat() || (format == Format.BF16 && windows.signed());
  }

  /**
   * A row of max pooling. Parameters: arena, arena; then from, to, row stride in bytes and the
   * number of windows.
   */
  static byte[] max(Format format, int block, Windows windows, VectorCode code) {
    int size = windows.size();
    final Gpr from = Gpr.A0;
    final Gpr to = Gpr.A1;
    final Gpr rowStride = Gpr.A4;
    final Gpr count = Gpr.A5;
    final Gpr row = Gpr.T7;
    code.enter(0);
    code.add(from, Gpr.A2);
    code.add(to, Gpr.A3);
    boolean asFloats = comparesFloats(format, windows);
    int bytes = asFloats ? code.bytes() / format.perWord() : code.bytes(); // of a vector
    int vectors = block * Float.BYTES / bytes;
    Vec scratch = code.vec(vectors);
    var window = new Label();
    code.bind(window);
    code.move(row, from);
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        for (int v = 0; v < vectors; v++) {
          Vec max = code.vec(v);
          At pixel = at(row, x * block * Float.BYTES + v * bytes);
          if (y == 0 && x == 0) {
            code.load(max, pixel, asFloats ? format : Format.FP32);
          } else if (asFloats) {
            code.maximum(max, pixel, format, scratch);
          } else if (format == Format.BF16) {
            // The bits of bfloat16 have the order of unsigned integers, with NaN above all.
            code.maximumOfShorts(max, pixel);
          } else {
            code.maximumOfBytes(max, pixel);
          }
        }
      }
      if (y + 1 < size) {
        code.add(row, rowStride);
      }
    }
    for (int v = 0; v < vectors; v++) {
      Format stored = asFloats && format == Format.BF16 ? format : Format.FP32;
      code.store(at(to, v * bytes), code.vec(v), stored, scratch);
    }
    code.add(from, windows.stride() * block * Float.BYTES);
    code.add(to, block * Float.BYTES);
    code.loop(count, window);
    code.leave();
    return code.code();
  }

  /**
   * The gradient of a row of max pooling. Parameters: arena; then in bytes the offsets of x, its
   * gradient, the maxima and their gradient, the row strides of x and of its gradient; then the
   * number of windows.
   */
  static byte[] maxGradient(Format format, int channels, Windows windows, VectorCode code) {
    int size = windows.size();
    final Gpr x = Gpr.A1;
    final Gpr to = Gpr.A2;
    final Gpr maxima = Gpr.A3;
    final Gpr gradient = Gpr.A4;
    final Gpr xRow = Gpr.A5;
    final Gpr toRow = Gpr.T0;
    final Gpr count = Gpr.T1;
    final Gpr toAt = Gpr.T2;
    final Gpr row = Gpr.T7;
    code.enter(0);
    for (Gpr pointer : new Gpr[] {x, to, maxima, gradient}) {
      code.add(pointer, Gpr.A0);
    }
    code.parameter(toRow, 6);
    code.parameter(count, 7);
    final Vec maximum = code.vec(0);
    final Vec left = code.vec(1); // the gradient not yet assigned to a pixel
    final Vec pixel = code.vec(2);
    final Vec share = code.vec(3);
    final Vec scratch = code.vec(4);
    int pixelBytes = channels * Float.BYTES / format.perWord();
    int vectorBytes = code.bytes() / format.perWord();
    var window = new Label();
    code.bind(window);
    for (int v = 0; v < channels / code.lanes(); v++) {
      code.load(maximum, at(maxima, v * vectorBytes), format);
      code.load(left, at(gradient, v * vectorBytes), format);
      code.move(row, x);
      code.move(toAt, to);
      for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
          int offset = j * pixelBytes + v * vectorBytes;
          code.load(pixel, at(row, offset), format);
          code.selectEqual(share, left, pixel, maximum);
          code.sub(left, left, share);
          if (format == Format.BF16) {
            code.load(pixel, at(toAt, offset), format);
            code.add(share, share, pixel);
          } else {
            code.add(share, share, at(toAt, offset));
          }
          code.store(at(toAt, offset), share, format, scratch);
        }
        if (i + 1 < size) {
          code.add(row, xRow);
          code.add(toAt, toRow);
        }
      }
    }
    code.add(x, windows.stride() * pixelBytes);
    code.add(to, windows.stride() * pixelBytes);
    code.add(maxima, pixelBytes);
    code.add(gradient, pixelBytes);
    code.loop(count, window);
    code.leave();
    return code.code();
  }

  /**
   * The mean of pixels. Parameters: arena, arena; then from, to, row stride in bytes, rows, columns
   * and the bits of the factor of the sum.
   */
  static byte[] average(Format format, int channels, VectorCode code) {
    final Gpr from = Gpr.A0;
    final Gpr to = Gpr.A1;
    final Gpr rowStride = Gpr.A4;
    final Gpr rows = Gpr.A5;
    final Gpr column = Gpr.T0;
    final Gpr pixel = Gpr.T7;
    code.enter(0);
    code.add(from, Gpr.A2);
    code.add(to, Gpr.A3);
    int vectors = channels / code.lanes();
    int vectorBytes = code.bytes() / format.perWord();
    Vec value = code.vec(vectors);
    for (int v = 0; v < vectors; v++) {
      code.clear(code.vec(v));
    }
    var row = new Label();
    code.bind(row);
    code.move(pixel, from);
    code.parameter(column, 6);
    var next = new Label();
    code.bind(next);
    for (int v = 0; v < vectors; v++) {
      Vec sum = code.vec(v);
      At values = at(pixel, v * vectorBytes);
      if (format != Format.FP32) {
        code.load(value, values, format);
        code.add(sum, sum, value);
      } else {
        code.add(sum, sum, values);
      }
    }
    code.add(pixel, channels * Float.BYTES / format.perWord());
    code.loop(column, next);
    code.add(from, rowStride);
    code.loop(rows, row);
    Vec scale = code.vec(vectors);
    code.parameter(pixel, 7);
    code.repeat(scale, pixel);
    for (int v = 0; v < vectors; v++) {
      Vec mean = code.vec(v);
      code.mul(mean, mean, scale);
      code.store(at(to, v * code.bytes()), mean);
    }
    code.leave();
    return code.code();
  }
}
