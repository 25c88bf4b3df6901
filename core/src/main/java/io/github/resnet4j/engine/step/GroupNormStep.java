package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.kernel.Plane;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Group norm with the following addition and ReLU. The phases compute sums of each channel, the
 * statistics of the groups, and all pixels. The input consists of floats.
 */
public final class GroupNormStep implements Step {
  private final String name;
  private final GroupMoments moments;
  private final Activation in;
  private final @Nullable Activation residual;
  private final Activation out;

  /** By the number of rows of a part; the last one takes all rows. */
  private final NormKernels.Normalize[] normalize;

  /**
   * @param relu whether a ReLU follows
   * @param parts the number of threads among which an image may be split
   */
  public GroupNormStep(
      String name,
      GroupMoments moments,
      Operands operands,
      boolean relu,
      int parts,
      Kernels kernels) {
    this.name = name;
    this.moments = moments;
    this.in = operands.in();
    this.residual = operands.residual();
    this.out = operands.out();
    this.normalize = new NormKernels.Normalize[parts + 1];
    Arrays.setAll(
        normalize,
        part -> {
          int own = part == parts ? in.height() : end(part, parts) - end(part - 1, parts);
          int rows = Math.max(1, own);
          Plane added = residual == null ? null : residual.asPlane().part(rows, in.width());
          return GroupMoments.normalize(
              relu,
              in.asPlane().part(rows, in.width()),
              added,
              out.asPlane().part(rows, in.width()),
              kernels);
        });
  }

  private int end(int part, int parts) {
    return in.height() * (part + 1) / parts;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public String algorithm() {
    return "group norm";
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
        case 0 -> {
          for (int b = in.blocks() * part / parts; b < in.blocks() * (part + 1) / parts; b++) {
            moments.sum(context.memory(), n, b);
          }
        }
        case 1 -> {
          if (part == 0) {
            moments.finish(
                context.arena(),
                n,
                out.layout().scale(),
                residual == null ? 1 : residual.layout().scale());
            out.clearBorder(context.arena(), n);
          }
        }
        default -> normalize(context, n, part, parts);
      }
    }
  }

  private void normalize(ExecutionContext context, int n, int part, int parts) {
    int from = end(part - 1, parts);
    if (end(part, parts) == from) {
      return;
    }
    NormKernels.Normalize kernel = normalize[parts == 1 ? normalize.length - 1 : part];
    for (int b = 0; b < in.blocks(); b++) {
      kernel.run(
          context.memory(),
          in.at(n, b, from, 0),
          moments.forward(n, b),
          residual == null ? 0 : residual.at(n, b, from, 0),
          out.at(n, b, from, 0));
    }
  }
}
