package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.nn.FoldedNorm;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;

/**
 * Batch norm and ReLU of a sum, which cannot be folded into a convolution because a shortcut reads
 * the sum too. The input consists of floats. The first phase writes the coefficients, the second
 * computes the pixels.
 */
public final class NormStep implements Step {
  /** Rows of the workspace: the factor, the summand, and ones. */
  private static final int ROWS = 3;

  private final String name;
  private final FoldedNorm norm;
  private final Activation in;
  private final Activation out;
  private final Activation workspace;

  /** By the number of a part; the last one takes all rows. */
  private final NormKernels.Normalize[] normalize;

  /**
   * @param workspace the {@link #workspace}
   * @param parts the number of threads among which an image may be split
   */
  public NormStep(
      BatchNorm2d layer,
      StateDict state,
      Activation in,
      Activation out,
      Activation workspace,
      int parts,
      Kernels kernels) {
    this.name = layer.name();
    this.norm = FoldedNorm.of(layer, state);
    this.in = in;
    this.out = out;
    this.workspace = workspace;
    this.normalize = new NormKernels.Normalize[parts + 1];
    Arrays.setAll(
        normalize,
        part -> {
          int own = part == parts ? in.height() : end(part, parts) - end(part - 1, parts);
          int rows = Math.max(1, own);
          return kernels
              .norm()
              .normalize(
                  in.asPlane().part(rows, in.width()), null, out.asPlane().part(rows, in.width()));
        });
  }

  private int end(int part, int parts) {
    return in.height() * (part + 1) / parts;
  }

  /** The layout of the workspace for an input. */
  public static Layout workspace(Layout in) {
    return Layout.of(in.channels(), ROWS, 1, in.blockChannels());
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public String algorithm() {
    return "norm";
  }

  @Override
  public Activation out() {
    return out;
  }

  @Override
  public int phases() {
    return 2;
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    if (phase == 0) {
      if (part == 0) {
        begin(context.arena(), first, count);
      }
      return;
    }
    int from = end(part - 1, parts);
    int end = end(part, parts);
    NormKernels.Normalize kernel = normalize[parts == 1 ? normalize.length - 1 : part];
    for (int n = first; n < first + count && from < end; n++) {
      for (int b = 0; b < in.blocks(); b++) {
        kernel.run(
            context.memory(),
            in.at(n, b, from, 0),
            workspace.at(0, b, 0, 0),
            0,
            out.at(n, b, from, 0));
      }
    }
  }

  private void begin(float[] arena, int first, int count) {
    int block = in.block();
    Arrays.fill(arena, workspace.image(0), workspace.image(0) + workspace.layout().size(), 0);
    for (int c = 0; c < in.channels(); c++) {
      int at = workspace.at(0, c / block, 0, 0) + c % block;
      arena[at] = (float) (norm.factor()[c] / out.layout().scale());
      arena[at + block] = (float) (norm.bias()[c] / out.layout().scale());
      arena[at + 2 * block] = 1;
    }
    for (int n = first; n < first + count; n++) {
      out.clearBorder(arena, n);
    }
  }
}
