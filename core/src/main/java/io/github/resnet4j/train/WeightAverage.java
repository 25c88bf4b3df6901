package io.github.resnet4j.train;

import io.github.resnet4j.engine.TrainingSession;
import java.util.ArrayList;
import java.util.List;

/**
 * The exponential moving average of a session's weights and batch norm's statistics, which often
 * does better than the last weights themselves: {@code average = kept * average + (1 - kept) *
 * weights}.
 */
final class WeightAverage {
  private final TrainingSession session;
  private final float kept;
  private final List<float[]> live = new ArrayList<>();
  private final List<float[]> averages = new ArrayList<>();

  /** Begins with the weights as they are. */
  WeightAverage(TrainingSession session, double kept) {
    this.session = session;
    this.kept = (float) kept;
    live.add(session.parameters().weights());
    live.addAll(session.statistics());
    live.forEach(array -> averages.add(array.clone()));
  }

  /** After a step. */
  void update() {
    session.inParallel((from, end) -> move(live.getFirst(), averages.getFirst(), from, end));
    for (int i = 1; i < live.size(); i++) {
      move(live.get(i), averages.get(i), 0, live.get(i).length);
    }
  }

  private void move(float[] to, float[] average, int from, int end) {
    for (int i = from; i < end; i++) {
      average[i] = kept * average[i] + (1 - kept) * to[i];
    }
  }

  /** Begins anew with what the session holds. */
  void restart() {
    for (int i = 0; i < live.size(); i++) {
      System.arraycopy(live.get(i), 0, averages.get(i), 0, live.get(i).length);
    }
  }

  /** Exchanges average and weights: called twice, everything is as it was. */
  void exchange() {
    for (int i = 0; i < live.size(); i++) {
      float[] weights = live.get(i);
      float[] average = averages.get(i);
      for (int k = 0; k < weights.length; k++) {
        float weight = weights[k];
        weights[k] = average[k];
        average[k] = weight;
      }
    }
  }
}
