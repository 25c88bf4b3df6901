package io.github.resnet4j.checkpoint;

import java.util.Map;
import java.util.SequencedMap;

/**
 * The contents of a file: its tensors by their names in the file, and this project's own metadata
 * (architecture, preprocessing, labels) as maps, lists, strings and numbers.
 */
record Contents(SequencedMap<String, StoredTensor> tensors, Map<String, Object> metadata) {
  /**
   * The key of the metadata: in a {@code .pth} an attribute of the state dict, which Python's
   * {@code load_state_dict} ignores; in a {@code .safetensors} JSON under {@code __metadata__}.
   */
  static final String METADATA_KEY = "resnet4j";
}
