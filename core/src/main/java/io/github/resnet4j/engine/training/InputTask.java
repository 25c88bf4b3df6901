package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.step.InputStep;
import java.util.List;

/** Brings the caller's images into their layout. */
record InputTask(Slot out) implements Task {
  @Override
  public List<Slot> uses() {
    return List.of(out);
  }

  @Override
  public Pass place(Placed placed) {
    var step = new InputStep(placed.at(out));
    return Pass.of((_, first, n) -> step.run(placed.frame(), first, n, 0, 0, 1));
  }
}
