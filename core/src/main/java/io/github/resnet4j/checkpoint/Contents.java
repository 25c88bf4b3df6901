package io.github.resnet4j.checkpoint;

import java.util.Map;
import java.util.SequencedMap;

/**
 * What a file holds: its tensors by their names there, and this project's own notes about them
 * (architecture, preprocessing, labels) as maps, lists, strings and numbers.
 */
record Contents(SequencedMap<String, StoredTensor> tensors, Map<String, Object> metadata) {
  /**
   * Where the notes are kept: in a {@code .pth} as an attribute of the state dict, which Python's
   * {@code load_state_dict} passes over, in a {@code .safetensors} as JSON under {@code
   * __metadata__}.
   */
  static final String METADATA_KEY = "resnet4j";
}
