package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Format;

/** Converts the caller's {@code [N, C, H, W]} to the layout and format of the first convolution. */
public record InputStep(Activation out) implements Step {
  @Override
  public String name() {
    return "input";
  }

  @Override
  public String algorithm() {
    return "copy";
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    int from = out.height() * part / parts;
    int end = out.height() * (part + 1) / parts;
    for (int n = first; n < first + count; n++) {
      if (part == 0) {
        out.clearBorder(context.arena(), n);
      }
      int image = (context.firstImage + n) * out.channels() * out.height() * out.width();
      for (int word = 0; word < out.blocks() * out.block(); word++) {
        int block = word / out.block();
        int within = word % out.block();
        int channel = block * out.layout().blockChannels() + within * out.format().perWord();
        for (int y = from; y < end; y++) {
          words(context.input, image, channel, y, context.arena(), out.at(n, block, y, 0) + within);
        }
      }
    }
  }

  /** One row of the word whose first channel is given. */
  private void words(float[] in, int image, int channel, int y, float[] arena, int to) {
    int plane = out.height() * out.width();
    int at = image + channel * plane + y * out.width();
    int channels = Math.clamp(out.channels() - channel, 0, out.format().perWord());
    if (channels == 0) {
      fill(arena, to);
    } else if (out.format() == Format.FP32) {
      copy(in, at, arena, to);
    } else if (out.format().isFloat()) {
      round(in, at, arena, to);
    } else if (out.format() == Format.BF16) {
      halves(in, at, channels > 1 ? at + plane : at, arena, to);
    } else {
      bytes(in, at, plane, channels, arena, to);
    }
  }

  // One loop per method: the compiler vectorizes these.

  private void fill(float[] arena, int to) {
    int stride = out.block();
    int width = out.width();
    for (int x = 0; x < width; x++) {
      arena[to + x * stride] = 0;
    }
  }

  private void copy(float[] in, int at, float[] arena, int to) {
    int stride = out.block();
    int width = out.width();
    for (int x = 0; x < width; x++) {
      arena[to + x * stride] = in[at + x];
    }
  }

  private void round(float[] in, int at, float[] arena, int to) {
    int stride = out.block();
    int width = out.width();
    for (int x = 0; x < width; x++) {
      arena[to + x * stride] = Format.rounded(in[at + x]);
    }
  }

  /**
   * If there is no second channel, its weights are zero, and the first channel is used in its
   * place.
   */
  private void halves(float[] in, int lower, int upper, float[] arena, int to) {
    int stride = out.block();
    int width = out.width();
    for (int x = 0; x < width; x++) {
      int bits = Float.floatToRawIntBits(Format.rounded(in[lower + x])) >>> 16;
      bits |= Float.floatToRawIntBits(Format.rounded(in[upper + x])) & 0xFFFF0000;
      arena[to + x * stride] = Float.intBitsToFloat(bits);
    }
  }

  private void bytes(float[] in, int at, int plane, int channels, float[] arena, int to) {
    int stride = out.block();
    int width = out.width();
    float factor = 1 / out.layout().scale();
    float zero = out.layout().zero() + 0.5f; // truncation then rounds
    for (int x = 0; x < width; x++) {
      int bits = 0;
      for (int c = channels - 1; c >= 0; c--) {
        int number = (int) (in[at + c * plane + x] * factor + zero);
        bits = bits << 8 | Math.clamp(number, 0, 255);
      }
      arena[to + x * stride] = Float.intBitsToFloat(bits);
    }
  }
}
