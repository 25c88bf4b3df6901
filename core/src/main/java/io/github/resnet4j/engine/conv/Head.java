package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.ConvKernels;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;
import java.util.stream.IntStream;

/** The fully connected layer: a matrix product whose pixels are the images. */
public final class Head implements Step {
  private final Linear layer;
  private final Activation in;
  private final Activation out;
  private final Weights weights;
  private final ConvTile[] tiles; // by number of images
  private final ConvTile.Reduction[] sums; // by blocks of output channels

  /** {@code [block of outputs][input][channels]}, then the bias. */
  public record Weights(Floats data, int channels, int at, int biasAt) {}

  public Head(Linear layer, Activation in, Activation out, Weights weights, Kernels kernels) {
    this.layer = layer;
    this.in = in;
    this.out = out;
    this.weights = weights;
    Ints segments = Ints.of(IntStream.range(0, in.blocks()).map(b -> b * in.block()).toArray());
    this.tiles =
        new ConvTile
            [Math.min(
                    kernels.accumulators() * kernels.lanes() / weights.channels,
                    in.layout().images())
                + 1];
    for (int n = 1; n < tiles.length; n++) {
      tiles[n] =
          kernels
              .conv()
              .tile(
                  new ConvTile.Shape(
                      n,
                      weights.channels,
                      new ConvTile.Input(Format.FP32, in.layout().imageSize(), in.block()),
                      new ConvTile.Output(Format.FP32, out.layout().imageSize(), null, false)),
                  ConvTile.Tiles.ONE,
                  segments);
    }
    this.sums = new ConvTile.Reduction[out.layout().paddedChannels() / weights.channels];
    Arrays.setAll(
        sums,
        b -> new ConvTile.Reduction(0, segments.size(), weights.biasAt + b * weights.channels));
  }

  public static Packing<Weights> packing(Linear layer, Layout in, Layout out, Kernels kernels) {
    int channels = Math.min(out.block(), kernels.maxVectors() * kernels.lanes());
    int inputs = in.paddedChannels();
    int size = Math.multiplyExact(inputs, out.paddedChannels());
    return new Packing<>() {
      @Override
      public String key() {
        return layer.name();
      }

      @Override
      public int size() {
        return size + out.paddedChannels();
      }

      @Override
      public Weights pack(StateDict state, Floats data, int at) {
        float[] weight = state.get(layer.weight().name()).data();
        Floats source = Floats.of(weight);
        float[] ones = new float[channels];
        Arrays.fill(ones, 1);
        Floats scales = Floats.of(ones);
        Ints list = Ints.of(IntStream.range(0, layer.in()).toArray());
        ConvKernels.Gather gather = kernels.conv().gather(list, layer.in(), channels);
        for (int o = 0; o < layer.out(); o += channels) {
          int to = at + o * inputs;
          if (o + channels <= layer.out()) {
            gather.run(source, o * layer.in(), scales, 0, data, to);
          } else {
            for (int last = o; last < layer.out(); last++) {
              for (int c = 0; c < layer.in(); c++) {
                data.values()[to + c * channels + last - o] = weight[last * layer.in() + c];
              }
            }
          }
        }
        float[] bias = state.get(layer.bias().name()).data();
        System.arraycopy(bias, 0, data.values(), at + size, layer.out());
        return new Weights(data, channels, at, at + size);
      }
    };
  }

  @Override
  public String name() {
    return layer.name();
  }

  @Override
  public String algorithm() {
    return "linear";
  }

  @Override
  public Activation out() {
    return out;
  }

  @Override
  public long flops() {
    return 2L * layer.in() * layer.out();
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    int blocks = sums.length;
    int max = tiles.length - 1;
    for (int b = blocks * part / parts; b < blocks * (part + 1) / parts; b++) {
      for (int n = 0; n < count; n += max) {
        tiles[Math.min(max, count - n)].run(
            context.memory(),
            0,
            1,
            in.image(first + n),
            out.image(first + n) + b * weights.channels,
            0,
            weights.data,
            weights.at + b * in.layout().paddedChannels() * weights.channels,
            sums[b]);
      }
    }
  }
}
