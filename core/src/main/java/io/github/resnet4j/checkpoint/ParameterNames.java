package io.github.resnet4j.checkpoint;

import java.util.List;
import java.util.regex.Pattern;

/** Translates other naming schemes of residual networks' parameters. */
final class ParameterNames {
  /** Prefixes of DistributedDataParallel, torch.compile, Lightning and detectors. */
  private static final List<String> PREFIXES =
      List.of("module.", "_orig_mod.", "model.", "backbone.");

  private static final Pattern HUGGING_FACE_LAYER =
      Pattern.compile(
          "encoder\\.stages\\.(\\d{1,2})\\.layers\\.(\\d{1,4})\\."
              + "(?:layer\\.(\\d)|shortcut)\\.(convolution|normalization)\\.(\\w+)");

  private ParameterNames() {}

  /** Torchvision's name; an unknown name is returned without its prefixes. */
  static String toTorchvision(String name) {
    int start = 0;
    for (int previous = -1; previous != start; ) {
      previous = start;
      for (String prefix : PREFIXES) {
        if (name.startsWith(prefix, start)) {
          start += prefix.length();
        }
      }
    }
    return fromHuggingFace(name.substring(start));
  }

  private static String fromHuggingFace(String name) {
    String bare = name.startsWith("resnet.") ? name.substring("resnet.".length()) : name;
    if (bare.startsWith("embedder.embedder.convolution.")) {
      return bare.replace("embedder.embedder.convolution.", "conv1.");
    }
    if (bare.startsWith("embedder.embedder.normalization.")) {
      return bare.replace("embedder.embedder.normalization.", "bn1.");
    }
    if (bare.startsWith("classifier.1.")) {
      return bare.replace("classifier.1.", "fc.");
    }
    var matcher = HUGGING_FACE_LAYER.matcher(bare);
    if (!matcher.matches()) {
      return name;
    }
    String block =
        "layer%d.%s.".formatted(Integer.parseInt(matcher.group(1)) + 1, matcher.group(2));
    boolean convolution = matcher.group(4).equals("convolution");
    String layer =
        matcher.group(3) == null
            ? "downsample." + (convolution ? 0 : 1)
            : (convolution ? "conv" : "bn") + (Integer.parseInt(matcher.group(3)) + 1);
    return block + layer + "." + matcher.group(5);
  }
}
