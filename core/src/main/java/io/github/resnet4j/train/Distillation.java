package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.nn.Loss;
import io.github.resnet4j.tensor.Tensor;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * Knowledge distillation (arXiv 1503.02531): a network learns the outputs of a teacher besides the
 * labels, see {@link Loss.Distillation}. The teacher sees the same augmented and mixed images
 * (arXiv 2106.05237).
 *
 * @param teacher a trained network with the same classes; its weights are not changed
 * @param temperature the divisor of all logits before the softmax
 * @param weight the fraction of the teacher in the loss, 0 to 1
 */
public record Distillation(Model teacher, double temperature, double weight) {
  /**
   * @throws IllegalArgumentException as {@link Loss.Distillation}
   */
  public Distillation {
    new Loss.Distillation(new Loss.CrossEntropy(List.of()), temperature, weight);
  }

  Loss loss(Loss.CrossEntropy labels) {
    return new Loss.Distillation(labels, temperature, weight);
  }

  /** Checks that the teacher can teach a network. */
  void requireFits(Model student) {
    if (!(student.task() instanceof Task.SingleLabel)) {
      throw new IllegalArgumentException(
          "distillation is for images of one class each, and these have %s"
              .formatted(student.task() instanceof Task.Regression ? "numbers" : "several labels"));
    }
    if (!(teacher.task() instanceof Task.SingleLabel)
        || !teacher.labels().equals(student.labels())) {
      throw new IllegalArgumentException(
          "the teacher has other classes than the images: %s, not %s"
              .formatted(shortened(teacher), shortened(student)));
    }
    int channels = teacher.preprocessing().channels();
    if (channels != student.preprocessing().channels()) {
      throw new IllegalArgumentException(
          "the teacher takes images of %d channels, the network of %d"
              .formatted(channels, student.preprocessing().channels()));
    }
  }

  private static String shortened(Model model) {
    int count = model.labels().size();
    return "%d (%s%s)"
        .formatted(
            count,
            String.join(", ", model.labels().subList(0, Math.min(3, count))),
            count > 3 ? ", …" : "");
  }

  /** The settings, by names for people; a resumed training must have the same. */
  Map<String, String> fields() {
    var checksum = new CRC32C();
    for (Tensor tensor : teacher.network().state().entries().values()) {
      var bytes = ByteBuffer.allocate(4 * tensor.size());
      bytes.asFloatBuffer().put(tensor.data());
      checksum.update(bytes);
    }
    var fields = new LinkedHashMap<String, String>();
    fields.put("teacher", "%s (checksum %08x)".formatted(teacher, checksum.getValue()));
    fields.put("teacher preprocessing", teacher.preprocessing().toString());
    fields.put("distillation temperature", String.valueOf(temperature));
    fields.put("distillation weight", String.valueOf(weight));
    return fields;
  }
}
