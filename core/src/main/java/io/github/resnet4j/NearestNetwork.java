package io.github.resnet4j;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.nn.Layer.Sequential;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The network of the catalogue that a checkpoint, which fits none, fits best.
 *
 * @param name its name
 * @param fit what fits and what does not; the head is compared with the checkpoint's classes
 */
record NearestNetwork(String name, Fit fit) {
  private static final int MAX_EXTENT = 1 << 20;

  /** Empty if no network has at least half of its parameters in the checkpoint. */
  static Optional<NearestNetwork> of(Checkpoint checkpoint) {
    try {
      return find(checkpoint);
    } catch (CheckpointException _) { // unusable names, or quantized weights with tensors missing
      return Optional.empty();
    }
  }

  private static Optional<NearestNetwork> find(Checkpoint checkpoint) throws CheckpointException {
    Map<String, StoredTensor> tensors = checkpoint.torchvisionTensors();
    String name = "";
    long best = Long.MIN_VALUE;
    for (var entry : Architecture.catalogue().entrySet()) {
      var parameters = adapted(entry.getValue(), tensors).layers().parameters();
      long present = parameters.stream().filter(each -> tensors.containsKey(each.name())).count();
      long fitting =
          parameters.stream()
              .filter(each -> {
                StoredTensor tensor = tensors.get(each.name());
                return tensor != null
                    && tensor.shape().equals(each.shape().stream().map(Long::valueOf).toList());
              })
              .count();
      long differences = parameters.size() + tensors.size() - present - fitting;
      if (2 * fitting >= parameters.size() && fitting - differences > best) {
        best = fitting - differences;
        name = entry.getKey();
      }
    }
    if (name.isEmpty()) {
      return Optional.empty();
    }
    ResNetSpec spec = adapted(Architecture.named(name), tensors);
    Sequential layers = spec.layers();
    return Optional.of(new NearestNetwork(name, Fit.of(layers, checkpoint, spec.includeTop())));
  }

  /** The network with the file's channels and classes, since files may have any number of them. */
  private static ResNetSpec adapted(ResNetSpec spec, Map<String, StoredTensor> tensors) {
    var builder = spec.toBuilder();
    for (String head : List.of("fc.weight", "head.fc.weight")) {
      extent(tensors, head, 0).ifPresent(builder::numClasses);
    }
    if (!tensors.containsKey("fc.weight") && !tensors.containsKey("head.fc.weight")) {
      builder.includeTop(false);
    }
    for (String stem : List.of("conv1.weight", "conv1.0.weight", "stem.conv.weight")) {
      extent(tensors, stem, 1).ifPresent(builder::inChannels);
    }
    return builder.build();
  }

  private static Optional<Integer> extent(
      Map<String, StoredTensor> tensors, String name, int axis) {
    return Optional.ofNullable(tensors.get(name))
        .map(StoredTensor::shape)
        .filter(shape -> shape.size() > 1)
        .map(shape -> shape.get(axis))
        .filter(extent -> extent > 0 && extent <= MAX_EXTENT)
        .map(Long::intValue);
  }

  /** What fits and what does not, for an error message. */
  String describe() {
    return "the nearest network is %s, of which %d tensors fit; %s"
        .formatted(name, fit.found().size(), fit.describe());
  }
}
