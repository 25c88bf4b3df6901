package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;

/** Copies an activation to the caller's {@code [N, C, H, W]}. */
public record OutputStep(String name, Activation out, int index) implements Step {
  @Override
  public String algorithm() {
    return "copy";
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    int from = out.channels() * part / parts;
    int end = out.channels() * (part + 1) / parts;
    float[] to = context.outputs[index];
    for (int n = first; n < first + count; n++) {
      for (int c = from; c < end; c++) {
        int at = ((context.firstImage + n) * out.channels() + c) * out.height() * out.width();
        out.copyChannel(context.arena(), n, c, to, at);
      }
    }
  }
}
