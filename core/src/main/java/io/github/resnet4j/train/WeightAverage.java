package io.github.resnet4j.train;

import io.github.resnet4j.engine.TrainingSession;
import java.util.ArrayList;
import java.util.List;

/**
 * The exponential moving average (EMA) of a session's weights and batch norm's statistics, which
 * often has a higher accuracy than the last weights: {@code average = decay * average + (1 - decay)
 * * weights}.
 */
final class WeightAverage {
  private final TrainingSession session;
  private final float decay;
  private final List<float[]> current = new ArrayList<>();
  private final List<float[]> averages = new ArrayList<>();

  /** Starts with the current weights. */
  WeightAverage(TrainingSession session, double decay) {
    this.session = session;
    this.decay = (float) decay;
    current.add(session.parameters().weights());
    current.addAll(session.statistics());
    current.forEach(array -> averages.add(array.clone()));
  }

  /** Updates the average after a step. */
  void update() {
    session.inParallel((from, end) -> move(current.getFirst(), averages.getFirst(), from, end));
    for (int i = 1; i < current.size(); i++) {
      move(current.get(i), averages.get(i), 0, current.get(i).length);
    }
  }

  private void move(float[] to, float[] average, int from, int end) {
    for (int i = from; i < end; i++) {
      average[i] = decay * average[i] + (1 - decay) * to[i];
    }
  }

  /** Restarts with the current weights. */
  void reset() {
    for (int i = 0; i < current.size(); i++) {
      System.arraycopy(current.get(i), 0, averages.get(i), 0, current.get(i).length);
    }
  }

  /** Swaps average and weights; a second call restores them. */
  void swap() {
    for (int i = 0; i < current.size(); i++) {
      float[] weights = current.get(i);
      float[] average = averages.get(i);
      for (int k = 0; k < weights.length; k++) {
        float weight = weights[k];
        weights[k] = average[k];
        average[k] = weight;
      }
    }
  }
}
