package io.github.resnet4j.engine;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * How large the activations of a network get, which is what {@link Precision#INT8} needs to know:
 * per-tensor ranges, symmetric about zero, in the way of Integer Quantization for Deep Learning
 * Inference, arXiv 2004.09602, section 3. {@link Calibration} finds them.
 *
 * @param ranges the largest magnitude worth telling apart, by the name of the convolution whose
 *     result (after batch norm, addition and ReLU) it is, {@code layer1.0.conv2}; of the attention
 *     that a block ends with, {@code layer1.0.se}; and of the image by {@link #INPUT}, without
 *     which the first convolution calculates with floats
 */
public record Quantization(SequencedMap<String, Float> ranges) {
  /** The name that the image goes by. */
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

  /** The same without the image's range: the first convolution then calculates with floats. */
  public Quantization withFloatInput() {
    var others = new LinkedHashMap<>(ranges);
    others.remove(INPUT);
    return new Quantization(others);
  }
}
