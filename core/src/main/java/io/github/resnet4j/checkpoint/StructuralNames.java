package io.github.resnet4j.checkpoint;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Names for the tensors of a file with an unknown naming, from their order and shapes: a stem of
 * one convolution, blocks of two or three convolutions, possibly with a convolution in the
 * shortcut, a batch norm for each convolution, and a linear layer. A batch norm belongs to the
 * convolution with the same position among its kind.
 */
final class StructuralNames {
  /** The parts of a batch norm in PyTorch's order, by their usual names. */
  private static final List<List<String>> NORM_PARTS =
      List.of(
          List.of("weight", "gamma", "scale"),
          List.of("bias", "beta", "offset"),
          List.of("running_mean", "moving_mean", "mean"),
          List.of("running_var", "moving_variance", "moving_var", "var", "variance"));

  private static final List<String> PARTS =
      List.of("weight", "bias", "running_mean", "running_var");

  private static final int MAX_CHANNELS = 1 << 14;

  private static final Pattern DIGITS = Pattern.compile("\\d+");

  /** A convolution: its output channels, input channels per group, and window. */
  private record Conv(String name, long out, long in, long window) {
    boolean is(long outputs, long inputs, long size) {
      return out == outputs && in == inputs && window == size;
    }
  }

  /** A batch norm: the names of its parts in the order of {@link #PARTS}, and a counter. */
  private record Norm(List<String> names, long channels, @Nullable String counter) {}

  /** A block: its main convolutions, and that of its shortcut. */
  private record Block(List<Conv> main, Optional<Conv> shortcut, boolean shortcutFirst) {
    long out() {
      return main.getLast().out;
    }

    int size() {
      return main.size() + (shortcut.isPresent() ? 1 : 0);
    }
  }

  private final List<Conv> convs = new ArrayList<>();
  private final List<Norm> norms = new ArrayList<>();
  private final SequencedMap<String, String> names = new LinkedHashMap<>();
  private boolean known = true;

  /** The parts of the batch norm that is being read. */
  private final List<Map.Entry<String, StoredTensor>> open = new ArrayList<>();

  private @Nullable String counter;

  private StructuralNames(SequencedMap<String, StoredTensor> tensors) {
    var linear = new HashSet<String>(); // modules
    tensors.forEach((name, tensor) -> {
      if (tensor.shape().size() == 2) {
        linear.add(module(name));
      }
    });
    boolean flat = linear.contains("");
    var entries = List.copyOf(tensors.entrySet());
    for (int i = 0; i < entries.size() && known; i++) {
      String name = entries.get(i).getKey();
      List<Long> shape = entries.get(i).getValue().shape();
      boolean isBias =
          flat
              ? i > 0 && entries.get(i - 1).getValue().shape().size() == 2
              : linear.contains(module(name));
      switch (shape.size()) {
        case 4 -> {
          known = open.isEmpty() && shape.get(2).equals(shape.get(3));
          convs.add(new Conv(name, shape.get(0), shape.get(1), shape.get(2)));
        }
        case 2 -> {
          known = open.isEmpty() && !names.containsValue("fc.weight");
          names.put(name, "fc.weight");
        }
        case 1 -> {
          if (isBias) {
            known = open.isEmpty() && !names.containsValue("fc.bias");
            names.put(name, "fc.bias");
          } else {
            known = addPart(entries.get(i));
          }
        }
        case 0 -> known = addCounter(name);
        default -> known = false;
      }
    }
    known &= open.isEmpty() && counter == null && !convs.isEmpty() && convs.size() == norms.size();
  }

  private boolean addPart(Map.Entry<String, StoredTensor> part) {
    open.add(part);
    if (open.size() < PARTS.size()) {
      return true;
    }
    boolean added = addNorm(open);
    open.clear();
    return added;
  }

  private boolean addNorm(List<Map.Entry<String, StoredTensor>> parts) {
    List<Long> shape = parts.getFirst().getValue().shape();
    if (!parts.stream().allMatch(part -> part.getValue().shape().equals(shape))
        || parts.stream().map(part -> module(part.getKey())).distinct().count() > 1) {
      return false;
    }
    var ordered = new String[PARTS.size()];
    for (var part : parts) {
      String leaf = part.getKey().substring(part.getKey().lastIndexOf('.') + 1);
      for (int role = 0; role < ordered.length; role++) {
        if (NORM_PARTS.get(role).contains(leaf)) {
          ordered[role] = part.getKey();
        }
      }
    }
    boolean named = Stream.of(ordered).noneMatch(Objects::isNull);
    if (!named && !isVariance(parts.getLast().getValue())) {
      return false;
    }
    List<String> result = named ? List.of(ordered) : parts.stream().map(Map.Entry::getKey).toList();
    norms.add(new Norm(result, shape.getFirst(), counter));
    counter = null;
    return true;
  }

  private static boolean isVariance(StoredTensor tensor) {
    if (tensor.size() > MAX_CHANNELS) {
      return false;
    }
    for (float value : tensor.toTensor().data()) {
      if (!(value >= 0)) {
        return false;
      }
    }
    return true;
  }

  /** {@code num_batches_tracked} follows its batch norm, or is between its parts. */
  private boolean addCounter(String name) {
    if (!open.isEmpty()) {
      counter = name;
      return module(name).equals(module(open.getFirst().getKey()));
    }
    if (norms.isEmpty() || norms.getLast().counter != null) {
      return false;
    }
    Norm last = norms.removeLast();
    norms.add(new Norm(last.names, last.channels, name));
    return true;
  }

  private static String module(String name) {
    return name.substring(0, Math.max(0, name.lastIndexOf('.')));
  }

  /** Torchvision's names by the names in the file; empty if the tensors are no such network. */
  static Optional<SequencedMap<String, String>> of(SequencedMap<String, StoredTensor> tensors) {
    return tensors.isEmpty()
        ? Optional.empty()
        : inOrder(tensors).or(() -> inOrder(sorted(tensors)));
  }

  private static Optional<SequencedMap<String, String>> inOrder(
      SequencedMap<String, StoredTensor> tensors) {
    var structure = new StructuralNames(tensors);
    return structure.known && structure.name() ? Optional.of(structure.names) : Optional.empty();
  }

  /** Safetensors files are in alphabetical order; numbers in names are compared as numbers. */
  private static SequencedMap<String, StoredTensor> sorted(
      SequencedMap<String, StoredTensor> tensors) {
    var byKey = new TreeMap<String, String>();
    for (String name : tensors.keySet()) {
      byKey.put(DIGITS.matcher(name).replaceAll(match -> padded(match.group())), name);
    }
    String stem = stem(tensors);
    var sorted = new LinkedHashMap<String, StoredTensor>();
    for (boolean first : new boolean[] {true, false}) {
      for (String name : byKey.values()) {
        if (name.startsWith(stem) == first) {
          sorted.put(name, Objects.requireNonNull(tensors.get(name)));
        }
      }
    }
    return sorted;
  }

  /** The start of the names in the module of the convolution with the fewest input channels. */
  private static String stem(SequencedMap<String, StoredTensor> tensors) {
    String stem = "";
    String shared = tensors.firstEntry().getKey();
    long fewest = Long.MAX_VALUE;
    for (var entry : tensors.entrySet()) {
      String name = entry.getKey();
      while (!name.startsWith(shared)) {
        shared = shared.substring(0, shared.length() - 1);
      }
      List<Long> shape = entry.getValue().shape();
      if (shape.size() == 4 && shape.get(1) < fewest) {
        fewest = shape.get(1);
        stem = name;
      }
    }
    int dot = stem.indexOf('.', shared.lastIndexOf('.') + 1);
    return dot < 0 ? stem : stem.substring(0, dot + 1);
  }

  private static String padded(String digits) {
    return "0".repeat(Math.max(0, 8 - digits.length())) + digits;
  }

  private boolean name() {
    Conv stem = convs.getFirst();
    if (stem.window != 7 && stem.window != 3) {
      return false;
    }
    var targets = new HashMap<String, String>(); // torchvision's names by those of convolutions
    targets.put(stem.name, "conv1");
    long channels = stem.out;
    int stage = 0;
    int number = 0;
    int kind = 0;
    for (int at = 1; at < convs.size(); ) {
      Optional<Block> found = block(convs.subList(at, convs.size()), channels);
      if (found.isEmpty() || (kind != 0 && kind != found.get().main.size())) {
        return false;
      }
      Block block = found.get();
      kind = block.main.size();
      boolean first = stage == 0 || block.shortcut.isPresent() || block.out() != channels;
      stage += first ? 1 : 0;
      number = first ? 0 : number + 1;
      String prefix = "layer%d.%d.".formatted(stage, number);
      for (int i = 0; i < block.main.size(); i++) {
        targets.put(block.main.get(i).name, prefix + "conv" + (i + 1));
      }
      block.shortcut.ifPresent(conv -> targets.put(conv.name, prefix + "downsample.0"));
      channels = block.out();
      at += block.size();
    }
    return stage > 0 && assign(targets);
  }

  /** The block that starts with the first of some convolutions. */
  private static Optional<Block> block(List<Conv> next, long channels) {
    boolean shortcutFirst =
        next.size() > 1
            && next.get(0).is(next.get(0).out, channels, 1)
            && next.get(1).in == channels
            && next.get(0).out != channels
            && (next.get(1).window == 1 || isBasic(next.subList(1, next.size()), channels));
    List<Conv> rest = shortcutFirst ? next.subList(1, next.size()) : next;
    int size = isBasic(rest, channels) ? 2 : isBottleneck(rest, channels) ? 3 : 0;
    if (size == 0) {
      return Optional.empty();
    }
    long out = rest.get(size - 1).out;
    if (shortcutFirst) {
      return next.getFirst().out == out
          ? Optional.of(new Block(rest.subList(0, size), Optional.of(next.getFirst()), true))
          : Optional.empty();
    }
    Optional<Conv> shortcut =
        Optional.of(rest)
            .filter(_ -> out != channels && rest.size() > size)
            .map(convs -> convs.get(size))
            .filter(conv -> conv.is(out, channels, 1));
    return Optional.of(new Block(rest.subList(0, size), shortcut, false));
  }

  private static boolean isBasic(List<Conv> convs, long channels) {
    return convs.size() >= 2
        && convs.get(0).is(convs.get(0).out, channels, 3)
        && convs.get(1).is(convs.get(0).out, convs.get(0).out, 3);
  }

  private static boolean isBottleneck(List<Conv> convs, long channels) {
    if (convs.size() < 3) {
      return false;
    }
    long width = convs.get(0).out;
    long in = convs.get(1).in;
    return convs.get(0).is(width, channels, 1)
        && convs.get(1).is(width, in, 3)
        && in > 0
        && width % in == 0
        && convs.get(2).is(convs.get(2).out, width, 1);
  }

  /** Names every tensor; each batch norm has the channels of its convolution. */
  private boolean assign(Map<String, String> targets) {
    for (int i = 0; i < convs.size(); i++) {
      Conv conv = convs.get(i);
      Norm norm = norms.get(i);
      if (norm.channels != conv.out) {
        return false;
      }
      String target = Objects.requireNonNull(targets.get(conv.name));
      names.put(conv.name, target + ".weight");
      String normName =
          target.endsWith("downsample.0")
              ? target.replace("downsample.0", "downsample.1")
              : target.replace("conv", "bn");
      for (int part = 0; part < PARTS.size(); part++) {
        names.put(norm.names.get(part), normName + "." + PARTS.get(part));
      }
      if (norm.counter != null) {
        names.put(norm.counter, normName + ".num_batches_tracked");
      }
    }
    return true;
  }
}
