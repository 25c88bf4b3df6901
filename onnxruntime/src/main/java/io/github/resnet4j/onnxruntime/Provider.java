package io.github.resnet4j.onnxruntime;

import ai.onnxruntime.OrtProvider;
import java.util.Arrays;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/** An execution provider of ONNX Runtime: a library that computes on a kind of devices. */
enum Provider {
  CPU("com.microsoft.onnxruntime:onnxruntime", ""),
  CUDA("com.microsoft.onnxruntime:onnxruntime_gpu", "0"),
  TENSORRT("com.microsoft.onnxruntime:onnxruntime_gpu", "0"),
  COREML("com.microsoft.onnxruntime:onnxruntime", ""),
  DIRECTML("built from source with DirectML", "0"),
  OPENVINO("built from source with OpenVINO", "CPU");

  /** The jar that contains it. */
  final String artifact;

  /** The device if none is chosen; empty if it has no choice. */
  final String defaultDevice;

  Provider(String artifact, String defaultDevice) {
    this.artifact = artifact;
    this.defaultDevice = defaultDevice;
  }

  String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * @throws IllegalArgumentException if there is no provider of that name
   */
  static Provider named(String name) {
    return Arrays.stream(values())
        .filter(provider -> provider.label().equals(name))
        .findFirst()
        .orElseThrow(() ->
            new IllegalArgumentException(
                "the engine onnxruntime has no provider '%s', only %s"
                    .formatted(name, labels(Set.of(values())))));
  }

  /**
   * @throws IllegalArgumentException if the ONNX Runtime on the class path does not contain it
   */
  void requireIn(Set<OrtProvider> available) {
    if (!available.contains(inRuntime())) {
      Set<Provider> present =
          Arrays.stream(values())
              .filter(provider -> available.contains(provider.inRuntime()))
              .collect(Collectors.toSet());
      throw new IllegalArgumentException(
          "the ONNX Runtime on the class path has no provider '%s', only %s; it is in another jar: %s"
              .formatted(label(), labels(present), artifact));
    }
  }

  private static String labels(Set<Provider> providers) {
    return providers.stream().sorted().map(Provider::label).collect(Collectors.joining(", "));
  }

  private OrtProvider inRuntime() {
    return switch (this) {
      case CPU -> OrtProvider.CPU;
      case CUDA -> OrtProvider.CUDA;
      case TENSORRT -> OrtProvider.TENSOR_RT;
      case COREML -> OrtProvider.CORE_ML;
      case DIRECTML -> OrtProvider.DIRECT_ML;
      case OPENVINO -> OrtProvider.OPEN_VINO;
    };
  }
}
