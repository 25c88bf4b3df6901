package io.github.resnet4j.engine;

import java.util.Arrays;

/** Brings the caller's {@code [N, C, H, W]} into the layout of the first convolution. */
record InputStep(Activation out) implements Step {
  @Override
  public String name() {
    return "input";
  }

  @Override
  public String algorithm() {
    return "copy";
  }

  @Override
  public long flops() {
    return 0;
  }

  @Override
  public void run(Frame frame, int first, int count, int phase, int part, int parts) {
    int height = out.height;
    int width = out.width;
    int from = height * part / parts;
    int end = height * (part + 1) / parts;
    for (int n = first; n < first + count; n++) {
      if (part == 0) {
        out.clearBorder(frame.arena(), n);
      }
      if (out.paddedChannels() > out.channels && from < end) {
        int last = out.image(n) + (out.blocks() - 1) * out.plane();
        Arrays.fill(
            frame.arena(), last + out.pixel(from, 0), last + out.pixel(end - 1, out.width), 0);
      }
      for (int c = 0; c < out.channels; c++) {
        int plane = ((frame.firstImage + n) * out.channels + c) * height * width;
        int to = out.image(n) + c / out.block * out.plane() + c % out.block;
        for (int y = from; y < end; y++) {
          interleave(
              frame.input,
              plane + y * width,
              width,
              frame.arena(),
              to + out.pixel(y, 0),
              out.block);
        }
      }
    }
  }

  private static void interleave(float[] in, int at, int count, float[] out, int to, int stride) {
    for (int x = 0; x < count; x++) {
      out[to + x * stride] = in[at + x];
    }
  }
}
