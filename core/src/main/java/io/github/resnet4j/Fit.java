package io.github.resnet4j;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * How a checkpoint's tensors match a network's parameters.
 *
 * @param found the tensors that match, by name
 * @param missing names of parameters that the checkpoint does not have
 * @param unexpected names of tensors that the network does not have
 * @param misshaped both shapes, by name
 */
record Fit(
    SequencedMap<String, StoredTensor> found,
    List<String> missing,
    List<String> unexpected,
    SequencedMap<String, String> misshaped) {
  private static final int NAMES_IN_AN_ERROR = 5;

  /** Whether a parameter is one of the head's. */
  static boolean isOfHead(String name) {
    return name.startsWith("fc.") || name.startsWith("head.fc.");
  }

  static Fit of(Layer network, Checkpoint checkpoint, boolean includeTop)
      throws CheckpointException {
    var offered = QuantizedWeights.tensors(network, checkpoint);
    var fit =
        new Fit(new LinkedHashMap<>(), new ArrayList<>(), new ArrayList<>(), new LinkedHashMap<>());
    for (Parameter parameter : network.parameters()) {
      StoredTensor tensor = offered.remove(parameter.name());
      if (tensor == null) {
        if (parameter.role() != Parameter.Role.COUNTER) {
          fit.missing.add(parameter.name());
        }
      } else if (!tensor.shape().equals(parameter.shape().stream().map(Long::valueOf).toList())) {
        fit.misshaped.put(
            parameter.name(),
            "%s is %s, the network's %s"
                .formatted(parameter.name(), tensor.shape(), parameter.shape()));
      } else {
        fit.found.put(parameter.name(), tensor);
      }
    }
    for (String name : offered.keySet()) {
      if (includeTop || !isOfHead(name)) {
        fit.unexpected.add(name);
      }
    }
    return fit;
  }

  boolean isExact() {
    return missing.isEmpty() && unexpected.isEmpty() && misshaped.isEmpty();
  }

  boolean onlyHeadDiffers() {
    return missing.isEmpty()
        && unexpected.isEmpty()
        && misshaped.keySet().stream().allMatch(Fit::isOfHead);
  }

  /** The tensors that match, and other values for the remaining parameters. */
  StateDict toState(Layer network, Function<Parameter, Tensor> otherwise) {
    var entries = new LinkedHashMap<String, Tensor>();
    for (Parameter parameter : network.parameters()) {
      StoredTensor stored = found.get(parameter.name());
      entries.put(
          parameter.name(), stored == null ? otherwise.apply(parameter) : stored.toTensor());
    }
    return new StateDict(entries);
  }

  /** The tensors that match, read on request, and zeros for the remaining parameters. */
  StateDict toReaders(Layer network) {
    var readers = new LinkedHashMap<String, Supplier<Tensor>>();
    long size = 0;
    for (Parameter parameter : network.parameters()) {
      StoredTensor stored = found.get(parameter.name());
      readers.put(parameter.name(), stored == null ? () -> ResNet.zeros(parameter) : stored::read);
      size += parameter.size();
    }
    return StateDict.read(readers, size);
  }

  String describe() {
    var parts = new ArrayList<String>();
    part(parts, "missing", missing);
    part(parts, "unexpected", unexpected);
    part(parts, "of another shape", List.copyOf(misshaped.values()));
    return String.join("; ", parts);
  }

  private static void part(List<String> parts, String what, List<String> names) {
    if (!names.isEmpty()) {
      String more =
          names.size() > NAMES_IN_AN_ERROR
              ? " and %d more".formatted(names.size() - NAMES_IN_AN_ERROR)
              : "";
      parts.add(
          names.stream()
              .limit(NAMES_IN_AN_ERROR)
              .collect(Collectors.joining(", ", "%d %s: ".formatted(names.size(), what), more)));
    }
  }
}
