package io.github.resnet4j.cli;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The option that turns a network into a backbone with larger feature maps. */
final class OutputStrideOption {
  @Option(
      names = "--output-stride",
      paramLabel = "N",
      description =
          "Factor by which the last feature map is smaller than the image, 8 or 16 instead of 32:"
              + " the last stages use dilation instead of stride, with the same weights.")
  @Range(min = 1)
  private @Nullable Integer stride;

  ResNetSpec apply(ResNetSpec spec) {
    if (stride == null) {
      return spec;
    }
    try {
      return spec.withOutputStride(stride);
    } catch (IllegalArgumentException e) {
      throw new UsageException("--output-stride: " + e.getMessage());
    }
  }

  ResNet apply(ResNet network) {
    apply(network.spec());
    return stride == null ? network : network.withOutputStride(stride);
  }
}
