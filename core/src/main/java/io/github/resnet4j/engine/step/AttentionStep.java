package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.kernel.PoolKernels;
import java.util.Arrays;
import java.util.Objects;

/**
 * The end of a block with channel attention: multiplies every channel by its gate, adds the
 * shortcut and applies ReLU. The phases compute the means, the gates of an image, and its pixels.
 */
public final class AttentionStep implements Step {
  // Rows of an image's workspace: the factor of x, the summand, the factor of the shortcut; and the
  // means.
  private static final int GATE = 0;
  private static final int ZERO = 1;
  private static final int ONE = 2;
  private static final int MEAN = 3;

  private final String name;
  private final Gates gates;
  private final Activation in;
  private final Activation residual;
  private final Activation out;
  private final Activation workspace;
  private final PoolKernels.Average average;

  /** By the number of a part; the last one takes all rows. */
  private final NormKernels.Normalize[] scale;

  /**
   * @param workspace the {@link #workspace}
   * @param parts the number of threads among which an image may be split
   */
  public AttentionStep(
      String name,
      Gates gates,
      Operands operands,
      Activation workspace,
      int parts,
      Kernels kernels) {
    this.name = name;
    this.gates = gates;
    this.in = operands.in();
    this.residual = Objects.requireNonNull(operands.residual());
    this.out = operands.out();
    this.workspace = workspace;
    this.average = kernels.pool().average(in.asPlane());
    this.scale = new NormKernels.Normalize[parts + 1];
    Arrays.setAll(
        scale,
        part -> {
          int own = part == parts ? in.height() : end(part, parts) - end(part - 1, parts);
          int rows = Math.max(1, own);
          return kernels
              .norm()
              .normalize(
                  in.asPlane().part(rows, in.width()),
                  residual.asPlane().part(rows, in.width()),
                  out.asPlane().part(rows, in.width()));
        });
  }

  private int end(int part, int parts) {
    return in.height() * (part + 1) / parts;
  }

  /** The layout of the workspace for the input's channels. */
  public static Layout workspace(Layout in, int images) {
    return Layout.of(in.channels(), 4, 1, in.blockChannels()).withImages(images);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public String algorithm() {
    return "attention";
  }

  @Override
  public Activation out() {
    return out;
  }

  @Override
  public int phases() {
    return 3;
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    for (int n = first; n < first + count; n++) {
      switch (phase) {
        case 0 -> means(context, n, part, parts);
        case 1 -> {
          if (part == 0) {
            gate(context.arena(), n);
            out.clearBorder(context.arena(), n);
          }
        }
        default -> scale(context, n, part, parts);
      }
    }
  }

  private int at(int image, int b, int row) {
    return workspace.at(image, b, row, 0);
  }

  private void means(ExecutionContext context, int n, int part, int parts) {
    for (int b = in.blocks() * part / parts; b < in.blocks() * (part + 1) / parts; b++) {
      average.run(context.memory(), in.at(n, b, 0, 0), at(n, b, MEAN));
    }
  }

  /** The means and the coefficients are in units of the stored numbers. */
  private void gate(float[] arena, int n) {
    int block = in.layout().blockChannels();
    float unit = in.layout().scale();
    float[] means = new float[in.channels()];
    float[] found = new float[in.channels()];
    for (int c = 0; c < in.channels(); c++) {
      means[c] = arena[at(n, c / block, MEAN) + c % block] * unit;
    }
    gates.compute(means, found);
    float ofResidual = residual.layout().scale() / out.layout().scale();
    for (int b = 0; b < in.blocks(); b++) {
      Arrays.fill(arena, at(n, b, GATE), at(n, b, ZERO) + block, 0);
      Arrays.fill(arena, at(n, b, ONE), at(n, b, ONE) + block, ofResidual);
    }
    for (int c = 0; c < in.channels(); c++) {
      arena[at(n, c / block, GATE) + c % block] = found[c] * unit / out.layout().scale();
    }
  }

  private void scale(ExecutionContext context, int n, int part, int parts) {
    int from = end(part - 1, parts);
    if (end(part, parts) == from) {
      return;
    }
    NormKernels.Normalize kernel = scale[parts == 1 ? scale.length - 1 : part];
    for (int b = 0; b < in.blocks(); b++) {
      kernel.run(
          context.memory(),
          in.at(n, b, from, 0),
          at(n, b, GATE),
          residual.at(n, b, from, 0),
          out.at(n, b, from, 0));
    }
  }
}
