package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Format;
import java.util.List;

/**
 * Stochastic depth where no norm ends a block's main branch: multiplies the branch of each image,
 * or its gradient, by the image's factor.
 *
 * @param to may be equal to {@code from}
 */
record BranchTask(Slot from, Slot to, BranchFactors factors) implements Task {
  @Override
  public List<Slot> uses() {
    return from == to ? List.of(from) : List.of(from, to);
  }

  @Override
  public Work place(TrainingPlacement placement) {
    Activation x = placement.at(from);
    Activation y = placement.at(to);
    Format format = x.format();
    int numbers = x.width() * x.layout().blockChannels();
    return Work.of((_, first, n) -> {
      float[] arena = placement.arena();
      for (int i = first; i < first + n; i++) {
        float factor = factors.ofImages()[i];
        if (from != to) {
          y.clearBorder(arena, i);
        }
        for (int b = 0; b < x.blocks(); b++) {
          for (int row = 0; row < x.height(); row++) {
            int source = x.at(i, b, row, 0);
            int target = y.at(i, b, row, 0);
            for (int c = 0; c < numbers; c++) {
              format.put(arena, target, c, format.get(arena, source, c) * factor);
            }
          }
        }
      }
    });
  }
}
