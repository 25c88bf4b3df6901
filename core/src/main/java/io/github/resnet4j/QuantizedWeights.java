package io.github.resnet4j;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.nn.FoldedNorm;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * A quantized network in a file: for every convolution its {@code weight} as signed bytes with
 * batch norm folded in, one {@code weight_scale} per output channel, the {@code bias}, and the
 * {@code output_range} of its result; also {@code input_range}, and the head, which remains float.
 * In pre-activation networks so do convolutions that no batch norm follows, and batch norms that
 * follow no convolution, with the range of their result.
 */
final class QuantizedWeights {
  private static final int LARGEST_BYTE = 127;
  private static final String WEIGHT = ".weight";
  private static final String BIAS = ".bias";
  private static final String SCALE = ".weight_scale";
  private static final String RANGE = "_range";
  private static final String OUTPUT_RANGE = ".output" + RANGE;

  private QuantizedWeights() {}

  /** Every convolution with the batch norm after it. */
  private static SequencedMap<Conv2d, BatchNorm2d> pairs(Layer network) {
    var pairs = new LinkedHashMap<Conv2d, BatchNorm2d>();
    network
        .walk()
        .forEach(layer -> {
          if (layer instanceof Sequential sequence) {
            var layers = sequence.layers();
            for (int i = 0; i + 1 < layers.size(); i++) {
              if (layers.get(i) instanceof Conv2d conv
                  && layers.get(i + 1) instanceof BatchNorm2d norm) {
                pairs.put(conv, norm);
              }
            }
          }
        });
    return pairs;
  }

  static void write(
      Path file,
      Sequential layers,
      StateDict state,
      Quantization quantization,
      Map<String, Object> metadata)
      throws IOException {
    var tensors = new LinkedHashMap<String, StoredTensor>();
    quantization
        .range(Quantization.INPUT)
        .ifPresent(range -> tensors.put(Quantization.INPUT + RANGE, scalar(range)));
    var folded = new HashSet<String>();
    pairs(layers)
        .forEach((conv, norm) -> {
          put(tensors, conv, norm, state);
          folded.add(conv.weight().name());
          norm.parameters().forEach(parameter -> folded.add(parameter.name()));
        });
    layers
        .walk()
        .map(Layer::name)
        .distinct()
        .forEach(name ->
            quantization
                .range(name)
                .ifPresent(range -> tensors.put(name + OUTPUT_RANGE, scalar(range))));
    for (Parameter parameter : layers.parameters()) {
      if (!folded.contains(parameter.name())) {
        tensors.put(parameter.name(), StoredTensor.of(state.get(parameter.name())));
      }
    }
    CheckpointWriter.write(file, tensors, metadata);
  }

  private static StoredTensor scalar(float value) {
    return StoredTensor.of(Tensor.of(new float[] {value}));
  }

  private static void put(
      Map<String, StoredTensor> tensors, Conv2d conv, BatchNorm2d norm, StateDict state) {
    float[] weight = state.get(conv.weight().name()).data();
    FoldedNorm folded = FoldedNorm.of(norm, state);
    int outputs = conv.outChannels();
    int each = weight.length / outputs;
    byte[] bytes = new byte[weight.length];
    float[] scales = new float[outputs];
    float[] bias = new float[outputs];
    for (int o = 0; o < outputs; o++) {
      double factor = folded.factor()[o];
      bias[o] = (float) folded.bias()[o];
      double largest = 0;
      for (int i = o * each; i < (o + 1) * each; i++) {
        largest = Math.max(largest, Math.abs(weight[i] * factor));
      }
      scales[o] = largest > 0 ? (float) (largest / LARGEST_BYTE) : 1;
      for (int i = o * each; i < (o + 1) * each; i++) {
        bytes[i] =
            (byte)
                Math.clamp(Math.rint(weight[i] * factor / scales[o]), -LARGEST_BYTE, LARGEST_BYTE);
      }
    }
    var shape = conv.weight().shape().stream().map(Long::valueOf).toList();
    tensors.put(conv.name() + WEIGHT, StoredTensor.of(bytes, shape));
    tensors.put(conv.name() + SCALE, StoredTensor.of(Tensor.of(scales, outputs)));
    tensors.put(conv.name() + BIAS, StoredTensor.of(Tensor.of(bias, outputs)));
  }

  private static boolean isQuantized(Set<String> names) {
    return names.stream().anyMatch(name -> name.endsWith(SCALE) || name.endsWith(OUTPUT_RANGE));
  }

  /**
   * Replaces the names and shapes of a quantized checkpoint by those of the float network; others
   * are unchanged.
   */
  static Map<String, List<Long>> shapes(Layer network, Map<String, List<Long>> quantized) {
    if (!isQuantized(quantized.keySet())) {
      return quantized;
    }
    var shapes = new LinkedHashMap<>(quantized);
    shapes.keySet().removeIf(name -> name.endsWith(RANGE));
    for (var pair : pairs(network).entrySet()) {
      List<Long> scale = shapes.remove(pair.getKey().name() + SCALE);
      List<Long> bias = shapes.remove(pair.getKey().name() + BIAS);
      if (scale != null && scale.equals(bias)) {
        for (Parameter parameter : pair.getValue().parameters()) {
          if (parameter.role() != Parameter.Role.COUNTER) {
            shapes.put(parameter.name(), scale);
          }
        }
      }
    }
    return shapes;
  }

  /**
   * The tensors of a quantized checkpoint as a float network has them: bytes times scales, and the
   * bias as that of a batch norm that changes nothing else. Tensors of other checkpoints are
   * unchanged.
   *
   * @throws CheckpointException if scales do not match their weights
   */
  static SequencedMap<String, StoredTensor> tensors(Layer network, Checkpoint checkpoint)
      throws CheckpointException {
    var tensors = checkpoint.torchvisionTensors();
    if (!isQuantized(tensors.keySet())) {
      return tensors;
    }
    var restored = new LinkedHashMap<>(tensors);
    restored.keySet().removeIf(name -> name.endsWith(RANGE));
    for (var pair : pairs(network).entrySet()) {
      Conv2d conv = pair.getKey();
      StoredTensor scale = restored.remove(conv.name() + SCALE);
      StoredTensor bias = restored.remove(conv.name() + BIAS);
      StoredTensor weight = restored.get(conv.name() + WEIGHT);
      if (scale == null || bias == null || weight == null) {
        continue; // the caller reports it as missing
      }
      int outputs = conv.outChannels();
      if (scale.size() != outputs || bias.size() != outputs || weight.size() % outputs != 0) {
        throw new CheckpointException(
            checkpoint.file(),
            "%s has %d weights with %d scales and %d biases for %d outputs"
                .formatted(conv.name(), weight.size(), scale.size(), bias.size(), outputs));
      }
      restored.put(conv.name() + WEIGHT, StoredTensor.of(scaled(weight, scale)));
      putNorm(restored, pair.getValue(), bias);
    }
    return restored;
  }

  private static Tensor scaled(StoredTensor weight, StoredTensor scale) {
    Tensor floats = weight.toTensor();
    float[] scales = scale.toTensor().data();
    int each = floats.size() / scales.length;
    for (int i = 0; i < floats.size(); i++) {
      floats.data()[i] *= scales[i / each];
    }
    return floats;
  }

  private static void putNorm(
      Map<String, StoredTensor> tensors, BatchNorm2d norm, StoredTensor bias) {
    int channels = (int) bias.size();
    Tensor variance = Tensor.filled((float) (1 - BatchNorm2d.EPS), channels);
    tensors.put(norm.name() + WEIGHT, StoredTensor.of(Tensor.filled(1, channels)));
    tensors.put(norm.name() + BIAS, bias);
    tensors.put(norm.name() + ".running_mean", StoredTensor.of(Tensor.zeros(channels)));
    tensors.put(norm.name() + ".running_var", StoredTensor.of(variance));
  }

  /**
   * The ranges of a checkpoint; empty if it is not quantized.
   *
   * @throws CheckpointException if one is not a positive number
   */
  static Optional<Quantization> quantization(Checkpoint checkpoint) throws CheckpointException {
    var tensors = checkpoint.torchvisionTensors();
    if (!isQuantized(tensors.keySet())) {
      return Optional.empty();
    }
    var ranges = new LinkedHashMap<String, Float>();
    for (var entry : tensors.entrySet()) {
      String name = entry.getKey();
      if (name.endsWith(RANGE) && entry.getValue().size() == 1) {
        String layer =
            name.endsWith(OUTPUT_RANGE)
                ? name.substring(0, name.length() - OUTPUT_RANGE.length())
                : name.substring(0, name.length() - RANGE.length());
        ranges.put(layer, entry.getValue().toTensor().data()[0]);
      }
    }
    try {
      return Optional.of(new Quantization(ranges));
    } catch (IllegalArgumentException e) {
      throw new CheckpointException(
          checkpoint.file(), "has invalid quantization data: " + e.getMessage(), e);
    }
  }
}
