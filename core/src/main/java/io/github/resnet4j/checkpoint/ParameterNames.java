package io.github.resnet4j.checkpoint;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;

/**
 * Torchvision's names for the tensors of a file.
 *
 * @param names torchvision's names by the names in the file; tensors that are left out are missing
 * @param remarks one sentence about the naming and one for what was left out; empty for
 *     torchvision's own names
 */
record ParameterNames(SequencedMap<String, String> names, List<String> remarks) {
  /** Prefixes of DistributedDataParallel, torch.compile, Lightning and detectors. */
  private static final List<String> PREFIXES =
      List.of("module.", "_orig_mod.", "model.", "backbone.");

  /** What wrappers insert between the names of modules. */
  private static final Pattern INSERTED =
      Pattern.compile("(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\\.");

  /** ResNet-1202 has 7,210 tensors. Larger files are not translated, which bounds the time. */
  private static final int MAX_TENSORS = 20_000;

  private static final int MAX_NAME = 256;
  private static final int MAX_PREFIXES = 64;
  private static final int NAMES_IN_A_REMARK = 4;

  /** Names in the body of a network; everything else is a head or not part of the network. */
  private static final Pattern BODY = Pattern.compile("(conv1|bn1|maxpool|layer\\d+|fc)\\..*");

  /** Torchvision's and timm's names. */
  private static final Pattern COMPLETE =
      Pattern.compile(
          "(conv1(\\.[0-9])?|bn1|maxpool\\.\\d|fc|layer\\d+\\.\\d+\\.(conv[1-3]|bn[1-3]|downsample\\.[0-2]"
              + "|se\\.(conv|fc[12])|aa))\\.(weight|bias|running_mean|running_var|num_batches_tracked)");

  private static final String COUNTER = "a counter"; // in namings.txt

  /** Two networks in one file: the first of these is the one that is used. */
  private static final List<String> CHOSEN =
      List.of("encoder_q.", "base_encoder.", "online_", "online.", "query", "teacher");

  /** A network that follows another one, in self-supervised training. */
  private static final Pattern COPY =
      Pattern.compile("(.*[._])?(k|key|ema|momentum|target|averaged|swa|student)([._].*)?");

  /** In these, {@code fc} is always a projection. */
  private static final Pattern CONTRASTIVE = Pattern.compile("(.*\\.)?(encoder_q|base_encoder)\\.");

  /** Finds the naming of a file, and translates the names. */
  static ParameterNames of(SequencedMap<String, StoredTensor> tensors) {
    if (tensors.size() > MAX_TENSORS
        || tensors.keySet().stream().anyMatch(name -> name.length() > MAX_NAME)) {
      return withoutPrefixes(tensors.keySet());
    }
    var plain =
        new LinkedHashMap<String, String>(); // names in the file by names without insertions
    for (String name : tensors.keySet()) {
      String bare = name.contains("_") ? INSERTED.matcher(name).replaceAll("") : name;
      if (plain.put(bare, name) != null) {
        return withoutPrefixes(tensors.keySet()); // the caller reports the duplicate
      }
    }
    ParameterNames known = known(plain, tensors).orElse(null);
    if (known != null
        && known.names.values().stream().allMatch(name -> COMPLETE.matcher(name).matches())) {
      return known;
    }
    return byStructure(tensors)
        .orElseGet(() -> known == null ? withoutPrefixes(tensors.keySet()) : known);
  }

  /** The names of a network whose naming is unknown, from the order and shapes of its tensors. */
  private static Optional<ParameterNames> byStructure(SequencedMap<String, StoredTensor> tensors) {
    var network = new LinkedHashMap<>(tensors);
    network.keySet().removeIf(name -> Naming.leftOut(name).isPresent());
    return StructuralNames.of(network)
        .map(names -> {
          var first = names.firstEntry();
          return new ParameterNames(
              names,
              List.of(
                  ("its names are unknown; tensors were assigned by their order and shapes: '%s' is"
                          + " %s, '%s' is %s")
                      .formatted(
                          first.getKey(),
                          first.getValue(),
                          names.lastEntry().getKey(),
                          names.lastEntry().getValue())));
        });
  }

  /** The names of the first naming that fits. */
  private static Optional<ParameterNames> known(
      Map<String, String> plain, Map<String, StoredTensor> tensors) {
    for (Naming naming : Naming.all()) {
      Set<String> prefixes = prefixes(naming, plain.keySet());
      if (!prefixes.isEmpty()) {
        Optional<String> prefix = choose(prefixes);
        if (prefix.isPresent()) {
          var found = new Translation(naming, prefix.get(), prefixes, plain, tensors);
          if (found.changed || naming.rules().isEmpty()) {
            return Optional.of(found.result());
          }
        }
      }
    }
    return Optional.empty();
  }

  private static ParameterNames withoutPrefixes(Set<String> names) {
    var translated = new LinkedHashMap<String, String>();
    for (String name : names) {
      int start = 0;
      for (int previous = -1; previous != start; ) {
        previous = start;
        for (String prefix : PREFIXES) {
          if (name.startsWith(prefix, start)) {
            start += prefix.length();
          }
        }
      }
      translated.put(name, name.substring(start));
    }
    translated.remove("n_averaged"); // the counter of torch.optim.swa_utils.AveragedModel
    return new ParameterNames(translated, List.of());
  }

  /** The prefixes after which the file has the names of a naming. */
  private static Set<String> prefixes(Naming naming, Set<String> names) {
    var prefixes = new LinkedHashSet<String>();
    String anchor = naming.anchors().getFirst();
    for (String name : names) {
      if (name.endsWith(anchor) && prefixes.size() < MAX_PREFIXES) {
        String prefix = name.substring(0, name.length() - anchor.length());
        if ((prefix.isEmpty() || prefix.endsWith(".") || prefix.endsWith("/"))
            && naming.hasAnchors(prefix, names)) {
          prefixes.add(prefix);
        }
      }
    }
    return prefixes;
  }

  /** The network that is meant if a file has several; empty if that is unclear. */
  private static Optional<String> choose(Set<String> prefixes) {
    if (prefixes.size() == 1) {
      return Optional.of(prefixes.iterator().next());
    }
    for (String sign : CHOSEN) {
      List<String> found = prefixes.stream().filter(prefix -> prefix.contains(sign)).toList();
      if (found.size() == 1) {
        return Optional.of(found.getFirst());
      }
    }
    List<String> originals =
        prefixes.stream().filter(prefix -> !COPY.matcher(prefix).matches()).toList();
    return originals.size() == 1 ? Optional.of(originals.getFirst()) : Optional.empty();
  }

  /** One way to translate the names of a file. */
  private static final class Translation {
    private final Naming naming;
    private final String prefix;
    private final Map<String, StoredTensor> tensors;
    private final SequencedMap<String, String> names = new LinkedHashMap<>();

    /** The names that are left out, by what they are. */
    private final SequencedMap<String, List<String>> leftOut = new LinkedHashMap<>();

    private boolean changed;
    private boolean headRenamed;

    Translation(
        Naming naming,
        String prefix,
        Set<String> prefixes,
        Map<String, String> plain,
        Map<String, StoredTensor> tensors) {
      this.naming = naming;
      this.prefix = prefix;
      this.tensors = tensors;
      boolean contrastive = CONTRASTIVE.matcher(prefix).matches();
      var others = new LinkedHashMap<String, String>();
      for (var entry : plain.entrySet()) {
        String name = entry.getKey();
        String file = entry.getValue();
        boolean inside = name.startsWith(prefix);
        String inner = inside ? name.substring(prefix.length()) : name;
        String translated = inside ? naming.translate(inner) : name;
        changed |= !translated.equals(inner);
        boolean body = inside && BODY.matcher(translated).matches();
        if (body && !(translated.startsWith("fc.") && (contrastive || isDeep(translated)))) {
          names.put(file, translated);
        } else if (other(name, prefixes).isPresent()) {
          leave("another network of the same kind", other(name, prefixes).get());
        } else if (contrastive && translated.startsWith("fc.")) {
          leave("the projection head", file);
        } else {
          var what = Naming.leftOut(name);
          if (what.isPresent()) {
            leave(what.get(), file);
          } else {
            others.put(translated, file);
          }
        }
      }
      heads(others);
    }

    /** The prefix of another network in the file to which a name belongs. */
    private Optional<String> other(String name, Set<String> prefixes) {
      return prefixes.stream()
          .filter(
              other -> !other.equals(prefix) && !prefix.startsWith(other) && name.startsWith(other))
          .findFirst();
    }

    /** {@code fc.1.weight}: a part of a head of several modules. */
    private static boolean isDeep(String name) {
      return name.indexOf('.', "fc.".length()) >= 0;
    }

    private void leave(String what, String name) {
      leftOut.computeIfAbsent(what, _ -> new ArrayList<>()).add(name);
    }

    /**
     * What is neither body nor known: one linear layer is the head, several layers of numbered
     * modules are a head that does not fit, anything else keeps its name.
     */
    private void heads(SequencedMap<String, String> others) {
      var modules = new TreeSet<String>();
      var maps = new HashSet<String>(); // modules with convolutions
      boolean linear = true;
      for (var entry : others.entrySet()) {
        String name = entry.getKey();
        StoredTensor tensor = tensor(entry.getValue());
        modules.add(module(name));
        if (tensor.shape().size() > 2) {
          maps.add(first(name));
        }
        linear &= name.endsWith(".weight") ? tensor.shape().size() == 2 : name.endsWith(".bias");
      }
      boolean single = linear && modules.size() == 1 && !names.containsValue("fc.weight");
      for (var entry : others.entrySet()) {
        String name = entry.getKey();
        if (single) {
          headRenamed |= !module(name).equals("fc");
          names.put(entry.getValue(), "fc" + name.substring(module(name).length()));
        } else if (isHead(name) && !maps.contains(first(name))) {
          leave("a head of several layers", entry.getValue());
        } else {
          names.put(entry.getValue(), name);
        }
      }
    }

    private static String first(String name) {
      return name.substring(0, Math.max(0, name.indexOf('.')));
    }

    private StoredTensor tensor(String file) {
      StoredTensor tensor = tensors.get(file);
      if (tensor == null) {
        throw new IllegalStateException(file);
      }
      return tensor;
    }

    private static String module(String name) {
      return name.substring(0, Math.max(0, name.lastIndexOf('.')));
    }

    /** {@code fc.0.weight}, {@code head.2.bias}; fastai's head is number 1 beside its body. */
    private boolean isHead(String name) {
      return name.matches("(fc|head|classifier|last_linear)\\.(\\w+\\.)*\\d+\\.\\w+")
          || (prefix.matches("(.*\\.)?0\\.(model\\.)?") && name.matches("(.*\\.)?1\\.\\d+\\.\\w+"));
    }

    ParameterNames result() {
      var remarks = new ArrayList<String>();
      boolean torchvision = naming.rules().isEmpty();
      if (!torchvision
          || !isPlain(prefix)
          || headRenamed
          || !Set.of(COUNTER).containsAll(leftOut.keySet())) {
        var origin = torchvision ? Naming.seenIn(tensors.keySet()) : Optional.<String>empty();
        remarks.add(
            "its names are those of %s%s%s"
                .formatted(
                    naming.description(),
                    prefix.isEmpty() ? "" : " after '" + prefix + "'",
                    origin.map(each -> ", as in " + each).orElse("")));
      }
      for (var entry : leftOut.entrySet()) {
        if (!entry.getKey().equals(COUNTER)) {
          remarks.add("left out: %s (%s)".formatted(entry.getKey(), listed(entry.getValue())));
        }
      }
      naming.note().ifPresent(remarks::add);
      return new ParameterNames(names, List.copyOf(remarks));
    }

    /** Prefixes of wrappers say nothing about the network. */
    private static boolean isPlain(String prefix) {
      return prefix.matches("((module|model|backbone|_orig_mod)\\.)*");
    }

    private static String listed(List<String> names) {
      var modules = new LinkedHashSet<>(names.stream().map(ParameterNames::top).toList());
      List<String> first = modules.stream().limit(NAMES_IN_A_REMARK).toList();
      return String.join(", ", first) + (modules.size() > first.size() ? " …" : "");
    }
  }

  /** The module of a name, or a tensor that is no part of a layer, in a message. */
  private static String top(String name) {
    return name.replaceFirst("\\.(weight|bias|running_mean|running_var|num_batches_tracked)$", "");
  }
}
