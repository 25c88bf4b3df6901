package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.step.InputStep;
import java.util.List;

/** Converts the caller's images to their layout. */
record InputTask(Slot out) implements Task {
  @Override
  public List<Slot> uses() {
    return List.of(out);
  }

  @Override
  public Work place(TrainingPlacement placement) {
    var step = new InputStep(placement.at(out));
    return Work.of((_, first, n) -> step.run(placement.context(), first, n, 0, 0, 1));
  }
}
