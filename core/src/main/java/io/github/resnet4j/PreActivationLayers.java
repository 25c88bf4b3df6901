package io.github.resnet4j;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Sequential;
import java.util.ArrayList;
import java.util.List;

/** The stem and the blocks of pre-activation networks, with the names of timm's ResNetV2. */
final class PreActivationLayers {
  private PreActivationLayers() {}

  /** The stem's last convolution has no norm: the first block begins with one. */
  static List<Layer> stem(ResNetSpec spec) {
    var layers = new ArrayList<Layer>();
    int in = spec.inChannels();
    switch (spec.stem()) {
      case Stem.ImageNet _ -> layers.add(conv(spec, "stem.conv", in, spec.channels(), 7, 2, 1, 1));
      case Stem.SmallImage _ ->
          layers.add(conv(spec, "stem.conv", in, spec.channels(), 3, 1, 1, 1));
      case Stem.Deep deep -> {
        layers.add(conv(spec, "stem.conv1", in, deep.first(), 3, 2, 1, 1));
        layers.addAll(normAndRelu(spec, "stem.norm1", deep.first()));
        layers.add(conv(spec, "stem.conv2", deep.first(), deep.second(), 3, 1, 1, 1));
        layers.addAll(normAndRelu(spec, "stem.norm2", deep.second()));
        layers.add(conv(spec, "stem.conv3", deep.second(), deep.third(), 3, 1, 1, 1));
      }
    }
    if (spec.stem().pools()) {
      layers.add(new MaxPool2d("stem.pool", 3, 2, 1, isStandardized(spec)));
    }
    return layers;
  }

  /**
   * @param dilation that of the first 3×3 convolution
   * @param next that of a second 3×3 convolution, and of the stage
   * @param projects whether the shortcut has a convolution
   */
  static PreActivation block(
      ResNetSpec spec,
      String name,
      int in,
      List<Integer> inner,
      int out,
      int stride,
      int dilation,
      int next,
      boolean projects) {
    var main = new ArrayList<Layer>();
    int width = inner.getFirst();
    boolean strideFirst = spec.stridePlacement() == ResNetSpec.StridePlacement.FIRST_1X1;
    if (inner.size() == 1) {
      main.add(conv(spec, name + ".conv1", in, width, 3, stride, dilation, 1));
      main.addAll(normAndRelu(spec, name + ".norm2", width));
      main.add(conv(spec, name + ".conv2", width, out, 3, 1, next, 1));
    } else {
      main.add(conv(spec, name + ".conv1", in, width, 1, strideFirst ? stride : 1, 1, 1));
      main.addAll(normAndRelu(spec, name + ".norm2", width));
      int second = strideFirst ? 1 : stride;
      main.add(conv(spec, name + ".conv2", width, width, 3, second, dilation, spec.groups()));
      main.addAll(normAndRelu(spec, name + ".norm3", width));
      main.add(conv(spec, name + ".conv3", width, out, 1, 1, 1, 1));
    }
    return new PreActivation(
        name,
        new Sequential(name + ".preact", normAndRelu(spec, name + ".norm1", in)),
        new Sequential(name, main),
        projects
            ? projection(spec, name + ".downsample", in, out, stride, next)
            : new Identity(name + ".downsample"));
  }

  private static Layer projection(
      ResNetSpec spec, String name, int in, int out, int stride, int dilation) {
    var layers = new ArrayList<Layer>();
    boolean averages = spec.shortcut() == ResNetSpec.Shortcut.AVERAGE_POOL;
    if (averages) {
      ResNetSpec.averageBefore(name + ".pool", stride, dilation).ifPresent(layers::add);
    }
    layers.add(conv(spec, name + ".conv", in, out, 1, averages ? 1 : stride, 1, 1));
    return new Sequential(name, layers);
  }

  private static List<Layer> normAndRelu(ResNetSpec spec, String name, int channels) {
    return List.of(spec.norm().layer(name, channels), new Relu(name + ".act"));
  }

  private static boolean isStandardized(ResNetSpec spec) {
    return spec.norm() instanceof Norm.StandardizedGroupNorm;
  }

  private static Conv2d conv(
      ResNetSpec spec,
      String name,
      int in,
      int out,
      int kernel,
      int stride,
      int dilation,
      int groups) {
    int padding = dilation * (kernel - 1) / 2;
    return new Conv2d(
        name, in, out, kernel, stride, padding, dilation, groups, isStandardized(spec));
  }
}
