package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.WeightStandardization;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Convolutions with standardized weights. Kernels read and write the arrays of the parameters: for
 * a forward and backward pass these contain the standardized weights and their gradients; then the
 * weights are restored, and their gradients computed.
 */
public final class StandardizedConvolutions {
  private final TrainingPlan plan;
  private final Map<Conv2d, ConvWeights> convolutions = new LinkedHashMap<>();
  private final float[] stored;
  private final float[] earlier;

  StandardizedConvolutions(TrainingPlan plan, TrainingLayout layout) {
    this.plan = plan;
    for (ConvUnit unit : layout.convolutions()) {
      if (unit.conv().standardized()) {
        convolutions.put(unit.conv(), layout.weights(unit.conv()));
      }
    }
    int floats = convolutions.isEmpty() ? 0 : plan.parameters().size();
    this.stored = new float[floats];
    this.earlier = new float[floats];
  }

  /** Replaces the weights by standardized ones; their gradients begin with zero. */
  public void begin() {
    float[] weights = plan.parameters().weights().values();
    float[] arena = plan.arena();
    System.arraycopy(weights, 0, stored, 0, stored.length);
    System.arraycopy(arena, plan.gradientsAt(), earlier, 0, earlier.length);
    convolutions.forEach((conv, packed) -> {
      float[] raw = packed.gather(stored, 0);
      packed.scatter(WeightStandardization.standardized(raw, conv.outChannels()), weights, 0);
      packed.scatter(new float[raw.length], arena, plan.gradientsAt());
    });
  }

  /** Restores the weights, and adds their gradients to those before {@link #begin}. */
  public void end() {
    float[] weights = plan.parameters().weights().values();
    float[] arena = plan.arena();
    convolutions.forEach((conv, packed) -> {
      float[] raw = packed.gather(stored, 0);
      float[] gradient =
          WeightStandardization.gradient(
              raw, packed.gather(arena, plan.gradientsAt()), conv.outChannels());
      float[] sum = packed.gather(earlier, 0);
      for (int i = 0; i < sum.length; i++) {
        sum[i] += gradient[i];
      }
      packed.scatter(raw, weights, 0);
      packed.scatter(sum, arena, plan.gradientsAt());
    });
  }
}
