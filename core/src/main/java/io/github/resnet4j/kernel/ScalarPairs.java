package io.github.resnet4j.kernel;

/** Pairs as plain loops. */
final class ScalarPairs implements PairKernels {
  static float word(float first, float second) {
    return Float.intBitsToFloat(
        Float.floatToRawIntBits(Format.rounded(first)) >>> 16
            | Float.floatToRawIntBits(Format.rounded(second)) & 0xFFFF0000);
  }

  @Override
  public void pairRows(Floats source, int from, int pairs, int channels, Floats to, int at) {
    for (int i = 0; i < pairs; i++) {
      for (int c = 0; c < channels; c++) {
        int first = from + 2 * i * channels + c;
        to.values[at + i * channels + c] =
            word(source.values[first], source.values[first + channels]);
      }
    }
  }

  @Override
  public Pairing pairPixels(Plane in, int channels, int pitch) {
    return (memory, from, to) -> {
      for (int row = 0; row < in.rows(); row++) {
        for (int i = 0; i < pitch; i++) {
          for (int c = 0; c < channels; c++) {
            memory.values[to + (row * pitch + i) * channels + c] =
                pair(memory.values, in, 1, from + row * in.rowStride(), i, c);
          }
        }
      }
    };
  }

  @Override
  public Pairing transpose(Plane in, int step, int pitch, int channelStride) {
    return (memory, from, to) -> {
      for (int c = 0; c < in.channels(); c++) {
        for (int row = 0; row < in.rows(); row++) {
          for (int i = 0; i < pitch; i++) {
            memory.values[to + c * channelStride + row * pitch + i] =
                pair(memory.values, in, step, from + row * in.rowStride(), i, c);
          }
        }
      }
    };
  }

  private static float pair(float[] arena, Plane in, int step, int row, int i, int channel) {
    float first = pixel(arena, in, step, row, 2 * i, channel);
    float second = pixel(arena, in, step, row, 2 * i + 1, channel);
    return word(first, second);
  }

  private static float pixel(float[] arena, Plane in, int step, int row, int x, int channel) {
    return x < in.columns() ? in.format().get(arena, row + x * step * in.block(), channel) : 0;
  }

  @Override
  public void shift(Floats arena, int from, int to, int count) {
    float[] words = arena.values;
    for (int i = 0; i < count; i++) {
      int before = Float.floatToRawIntBits(words[from + i - 1]);
      int here = Float.floatToRawIntBits(words[from + i]);
      words[to + i] = Float.intBitsToFloat(before >>> 16 | here << 16);
    }
  }
}
