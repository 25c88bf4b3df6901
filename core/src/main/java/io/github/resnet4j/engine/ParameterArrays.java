package io.github.resnet4j.engine;

import io.github.resnet4j.engine.training.ParameterLayout;
import io.github.resnet4j.engine.training.TrainingPlan;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;
import java.util.List;

/**
 * The trained parameters of a session and their gradients. Both have the engine's element order,
 * with zeros between parameters. An array of {@link #size} elements in this order can hold the
 * state that an optimizer keeps for each parameter.
 */
public final class ParameterArrays {
  /**
   * The position of a parameter in the arrays.
   *
   * @param name the name in the state_dict, such as {@code layer1.0.conv1.weight}
   * @param from the first index
   * @param end the index after the last
   */
  public record Range(String name, int from, int end) {}

  private final ParameterLayout layout;
  private final float[] weights;
  private final float[] arena;
  private final int gradientsAt;

  ParameterArrays(TrainingPlan plan) {
    this.layout = plan.parameters();
    this.weights = layout.weights().values();
    this.arena = plan.arena();
    this.gradientsAt = plan.gradientsAt();
  }

  /** The range of every parameter, in the order of the state_dict. */
  public List<Range> ranges() {
    return layout.places().stream()
        .map(place -> new Range(place.parameter().name(), place.from(), place.end()))
        .toList();
  }

  /** The number of elements of the weights, which is also that of the gradients. */
  public int size() {
    return layout.size();
  }

  /** The parameters themselves, not a copy; an optimizer updates this array. */
  public float[] weights() {
    return weights;
  }

  /**
   * The gradient of a weight.
   *
   * @param index of the weight, less than {@link #size}
   */
  public float gradient(int index) {
    return arena[gradientsAt + index];
  }

  /** Replaces the gradient of a weight. */
  public void setGradient(int index, float value) {
    arena[gradientsAt + index] = value;
  }

  /** A copy of all gradients. */
  public float[] gradients() {
    return Arrays.copyOfRange(arena, gradientsAt, gradientsAt + size());
  }

  /**
   * Replaces all gradients.
   *
   * @throws IllegalArgumentException if there are not {@link #size} of them
   */
  public void setGradients(float[] values) {
    if (values.length != size()) {
      throw new IllegalArgumentException(
          "%d gradients, expected %d".formatted(values.length, size()));
    }
    System.arraycopy(values, 0, arena, gradientsAt, values.length);
  }

  /** Converts an array in this order to tensors with the parameters' names and shapes. */
  public StateDict toTensors(float[] values) {
    return layout.toTensors(values);
  }

  /** Copies tensors to an array in this order: the inverse of {@link #toTensors}. */
  public void fromTensors(StateDict tensors, float[] values) {
    Arrays.fill(values, 0);
    layout.fromTensors(tensors, values);
  }

  /** {@code ParameterArrays[161 parameters, 25557032 elements]}. */
  @Override
  public String toString() {
    return "ParameterArrays[%d parameters, %d elements]".formatted(ranges().size(), size());
  }
}
