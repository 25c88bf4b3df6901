package io.github.resnet4j.onnxruntime;

import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession.SessionOptions;

/**
 * A provider and one of its devices, such as {@code cuda:1} or {@code openvino:GPU}; {@code cuda}
 * is the first device, {@code openvino} the CPU.
 *
 * @param id a number for CUDA, TensorRT and DirectML, a name for OpenVINO, otherwise empty
 */
record Device(Provider provider, String id) {
  /**
   * Parses {@code PROVIDER} or {@code PROVIDER:DEVICE}.
   *
   * @throws IllegalArgumentException if there is no such provider, or it has no such devices
   */
  static Device named(String text) {
    String[] parts = text.split(":", 2);
    Provider provider = Provider.named(parts[0]);
    if (parts.length == 1) {
      return new Device(provider, provider.defaultDevice);
    }
    String valid =
        switch (provider) {
          case CUDA, TENSORRT, DIRECTML -> "[0-9]{1,4}";
          case OPENVINO -> "[A-Z][A-Z0-9_.:,]*";
          case CPU, COREML -> "";
        };
    if (!parts[1].matches(valid) || valid.isEmpty()) {
      throw new IllegalArgumentException(
          "the provider '%s' of the engine onnxruntime has no device '%s'; devices are chosen like %s"
              .formatted(
                  parts[0],
                  parts[1],
                  "cuda:1, tensorrt:1, directml:1, openvino:GPU or openvino:NPU"));
    }
    return new Device(provider, parts[1]);
  }

  /** {@code cuda:0}. */
  String label() {
    return id.isEmpty() ? provider.label() : provider.label() + ":" + id;
  }

  /** Adds the provider to the options of a session; the CPU remains for what it does not have. */
  void addTo(SessionOptions options) throws OrtException {
    switch (provider) {
      case CPU -> {}
      case CUDA -> options.addCUDA(Integer.parseInt(id));
      case TENSORRT -> {
        options.addTensorrt(Integer.parseInt(id));
        options.addCUDA(Integer.parseInt(id));
      }
      case COREML -> options.addCoreML();
      case DIRECTML -> {
        options.setMemoryPatternOptimization(false); // DirectML rejects it
        options.addDirectML(Integer.parseInt(id));
      }
      case OPENVINO -> options.addOpenVINO(id);
    }
  }
}
