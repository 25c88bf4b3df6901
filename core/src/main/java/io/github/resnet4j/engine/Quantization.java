package io.github.resnet4j.engine;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * The ranges of a network's activations, which {@link Precision#INT8} needs: per tensor, symmetric
 * about zero, as in Integer Quantization for Deep Learning Inference, arXiv 2004.09602, section 3.
 * {@link Calibration} measures them.
 *
 * @param ranges the largest magnitude that is represented, by name: of a convolution's result
 *     (after batch norm, addition and ReLU), {@code layer1.0.conv2}; of the channel attention that
 *     ends a block, {@code layer1.0.se}; and of the image, {@link #INPUT}, without which the first
 *     convolution computes with floats
 */
public record Quantization(SequencedMap<String, Float> ranges) {
  /** The name of the image in {@link #ranges}. */
  public static final String INPUT = "input";

  /**
   * @throws IllegalArgumentException if a range is not a positive number
   */
  public Quantization {
    ranges = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(ranges));
    for (Map.Entry<String, Float> entry : ranges.entrySet()) {
      float range = entry.getValue();
      if (!(range > 0 && range < Float.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "the range of %s must be a positive number, was %s".formatted(entry.getKey(), range));
      }
    }
  }

  /** The range of a convolution's result, or of the image. */
  public Optional<Float> range(String name) {
    return Optional.ofNullable(ranges.get(name));
  }

  /** The same ranges without the image's: the first convolution then computes with floats. */
  public Quantization withFloatInput() {
    var others = new LinkedHashMap<>(ranges);
    others.remove(INPUT);
    return new Quantization(others);
  }

  /** {@code Quantization[54 ranges]}. */
  @Override
  public String toString() {
    return "Quantization[%d ranges]".formatted(ranges.size());
  }
}
