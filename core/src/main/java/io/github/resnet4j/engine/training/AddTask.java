package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import java.util.List;

/**
 * Adds the values of a slot to those of another: the shortcut to a pre-activation block's result,
 * or a gradient to the gradient from another reader.
 */
record AddTask(Slot from, Slot to) implements Task {
  @Override
  public List<Slot> uses() {
    return List.of(from, to);
  }

  @Override
  public Work place(TrainingPlacement placement) {
    Activation summand = placement.at(from);
    Activation sum = placement.at(to);
    int words = sum.width() * sum.block();
    return Work.of((_, first, n) -> {
      for (int i = first; i < first + n; i++) {
        for (int b = 0; b < sum.blocks(); b++) {
          for (int y = 0; y < sum.height(); y++) {
            add(placement.arena(), summand.at(i, b, y, 0), sum.at(i, b, y, 0), words);
          }
        }
      }
    });
  }

  private static void add(float[] arena, int from, int to, int words) {
    for (int i = 0; i < words; i++) {
      arena[to + i] += arena[from + i];
    }
  }
}
