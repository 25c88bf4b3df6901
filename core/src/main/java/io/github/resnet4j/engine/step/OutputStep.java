package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;

/** Brings an activation back into the caller's {@code [N, C, H, W]}. */
public record OutputStep(String name, Activation out, int index) implements Step {
  @Override
  public String algorithm() {
    return "copy";
  }

  @Override
  public void run(Frame frame, int first, int count, int phase, int part, int parts) {
    int from = out.channels() * part / parts;
    int end = out.channels() * (part + 1) / parts;
    float[] to = frame.outputs[index];
    for (int n = first; n < first + count; n++) {
      for (int c = from; c < end; c++) {
        int at = ((frame.firstImage + n) * out.channels() + c) * out.height() * out.width();
        out.copyChannel(frame.arena(), n, c, to, at);
      }
    }
  }
}
