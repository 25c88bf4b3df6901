package io.github.resnet4j.explain;

import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.reference.ReferenceGradient;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Explains predictions with heat maps. {@code ResNet.explainer()} creates one.
 *
 * @param layers a network with a head
 * @param state its weights
 * @param inChannels the number of channels of the images
 * @param quantization the ranges of its activations, if known
 */
public record Explainer(
    Sequential layers, StateDict state, int inChannels, Optional<Quantization> quantization) {
  /** The method that computes a heat map. */
  public enum Method {
    /**
     * Grad-CAM: the layer's channels, each weighted by the mean gradient of the class's logit
     * (Selvaraju et al., arXiv 1610.02391, equations 1 and 2).
     */
    GRADCAM,
    /**
     * Grad-CAM++: gradients are weighted pixel by pixel, for several objects of a class
     * (Chattopadhay et al., arXiv 1710.11063, equations 7 and 19).
     */
    GRADCAM_PLUS_PLUS,
    /**
     * Eigen-CAM: the first principal component of the layer's result; independent of the class
     * (Muhammad and Yeasin, arXiv 2008.00299).
     */
    EIGENCAM,
    /**
     * Occlusion: the decrease of the class's probability when a square covers part of the image
     * (Zeiler and Fergus, arXiv 1311.2901, section 4.2). Needs no gradient, but many predictions.
     */
    OCCLUSION
  }

  /** The number of squares along the shorter side of an image; they overlap by half. */
  private static final int SQUARES = 14;

  private static final int BATCH = 16;

  /** Sufficient for two components whose variances differ by a hundredth. */
  private static final int POWER_ITERATIONS = 2000;

  /**
   * @throws IllegalArgumentException if the network has no head
   */
  public Explainer {
    if (!(layers.layers().getLast() instanceof Layer.Linear)) {
      throw new IllegalArgumentException("a network without its head (includeTop) has no classes");
    }
  }

  private int classes() {
    return ((Layer.Linear) layers.layers().getLast()).out();
  }

  /**
   * Computes the heat map of one image.
   *
   * @param x {@code [1, C, H, W]}, preprocessed as the weights require
   * @param index the class to explain; if empty, the most likely one
   * @param layer the layer whose result is explained, usually the last stage; not used by occlusion
   * @param options threads and kernels
   * @throws IllegalArgumentException if there is no such class or layer, or x is not a single image
   */
  public HeatMap explain(
      Tensor x, Method method, OptionalInt index, String layer, CompileOptions options) {
    int classes = classes();
    if (x.rank() != 4 || x.dim(0) != 1 || x.dim(1) != inChannels) {
      throw new IllegalArgumentException(
          "the image must be [1, %d, H, W], was %s".formatted(inChannels, x));
    }
    if (index.isPresent() && (index.getAsInt() < 0 || index.getAsInt() >= classes)) {
      throw new IllegalArgumentException(
          "class %d: the network has classes 0 to %d".formatted(index.getAsInt(), classes - 1));
    }
    if (method == Method.OCCLUSION) {
      return occlude(x, index, options);
    }
    ReferenceGradient.Result found;
    int[] chosen = new int[1];
    try (var team = new Team(options.threads())) {
      found =
          new ReferenceGradient(layers, state, team)
              .of(
                  x,
                  layer,
                  logits -> {
                    chosen[0] = index.orElseGet(() -> largest(logits));
                    Tensor seed = Tensor.zeros(logits.shape());
                    seed.data()[chosen[0]] = 1;
                    return seed;
                  });
    }
    Tensor activation = found.activation();
    if (activation.rank() != 4) {
      throw new IllegalArgumentException(layer + " has no pixels, so it has no heat map");
    }
    float[] map =
        switch (method) {
          case GRADCAM -> weighted(activation, meanGradients(found.gradient()));
          case GRADCAM_PLUS_PLUS ->
              weighted(activation, alphaGradients(activation, found.gradient()));
          case EIGENCAM -> firstComponent(activation);
          case OCCLUSION -> throw new IllegalStateException();
        };
    for (int i = 0; i < map.length; i++) {
      map[i] = Math.max(map[i], 0);
    }
    return HeatMap.of(
        chosen[0],
        found.output(),
        Tensor.of(map, activation.dim(2), activation.dim(3)),
        x.dim(2),
        x.dim(3));
  }

  private static int largest(Tensor logits) {
    int best = 0;
    for (int i = 1; i < logits.size(); i++) {
      best = logits.data()[i] > logits.data()[best] ? i : best;
    }
    return best;
  }

  private static float[] weighted(Tensor activation, double[] weights) {
    int plane = activation.dim(2) * activation.dim(3);
    double[] sum = new double[plane];
    for (int c = 0; c < weights.length; c++) {
      for (int p = 0; p < plane; p++) {
        sum[p] += weights[c] * activation.data()[c * plane + p];
      }
    }
    float[] map = new float[plane];
    for (int p = 0; p < plane; p++) {
      map[p] = (float) sum[p];
    }
    return map;
  }

  private static double[] meanGradients(Tensor gradient) {
    int plane = gradient.dim(2) * gradient.dim(3);
    double[] weights = new double[gradient.dim(1)];
    for (int i = 0; i < gradient.size(); i++) {
      weights[i / plane] += gradient.data()[i] / (double) plane;
    }
    return weights;
  }

  /** Positive gradients, weighted with the paper's alphas. */
  private static double[] alphaGradients(Tensor activation, Tensor gradient) {
    int plane = gradient.dim(2) * gradient.dim(3);
    double[] weights = new double[gradient.dim(1)];
    for (int c = 0; c < weights.length; c++) {
      double sum = 0;
      for (int i = c * plane; i < (c + 1) * plane; i++) {
        sum += activation.data()[i];
      }
      for (int i = c * plane; i < (c + 1) * plane; i++) {
        double g = gradient.data()[i];
        if (g > 0) {
          // The small summand is that of the grad-cam package: gradients near zero have no weight.
          weights[c] += g * (g * g / (2 * g * g + sum * g * g * g + 1e-6));
        }
      }
    }
    return weights;
  }

  /**
   * Projects the pixels on the first principal axis of their channels. The sign of the axis is
   * chosen so that larger results of the layer are positive.
   */
  private static float[] firstComponent(Tensor activation) {
    int channels = activation.dim(1);
    int plane = activation.dim(2) * activation.dim(3);
    double[][] centred = new double[channels][plane];
    double[] brightness = new double[plane];
    for (int c = 0; c < channels; c++) {
      double mean = 0;
      for (int p = 0; p < plane; p++) {
        mean += activation.data()[c * plane + p] / (double) plane;
      }
      for (int p = 0; p < plane; p++) {
        centred[c][p] = activation.data()[c * plane + p] - mean;
        brightness[p] += centred[c][p];
      }
    }
    double[] axis = brightness.clone();
    double length = 0;
    for (int round = 0; round < POWER_ITERATIONS; round++) {
      double[] next = new double[plane];
      for (double[] channel : centred) {
        double along = dot(channel, axis);
        for (int p = 0; p < plane; p++) {
          next[p] += along * channel[p];
        }
      }
      length = Math.sqrt(dot(next, next));
      if (length == 0) {
        return new float[plane]; // all pixels are equal
      }
      double change = 0;
      for (int p = 0; p < plane; p++) {
        next[p] /= length;
        change += Math.abs(next[p] - axis[p]);
      }
      axis = next;
      if (change < 1e-12 * plane) {
        break;
      }
    }
    double scale = Math.sqrt(length) * (dot(axis, brightness) < 0 ? -1 : 1);
    float[] map = new float[plane];
    for (int p = 0; p < plane; p++) {
      map[p] = (float) (scale * axis[p]);
    }
    return map;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  private HeatMap occlude(Tensor x, OptionalInt index, CompileOptions options) {
    int channels = x.dim(1);
    int height = x.dim(2);
    int width = x.dim(3);
    int step = Math.max(1, Math.min(height, width) / SQUARES);
    int rows = Math.ceilDiv(height, step);
    int columns = Math.ceilDiv(width, step);
    try (var session = new Session(layers, state, inChannels, quantization, options)) {
      Tensor logits = session.run(x);
      int chosen = index.orElseGet(() -> largest(logits));
      double before = probability(logits, 0, chosen);
      float[] fall = new float[rows * columns];
      Tensor batch = Tensor.zeros(BATCH, channels, height, width);
      for (int from = 0; from < fall.length; from += BATCH) {
        int count = Math.min(BATCH, fall.length - from);
        for (int i = 0; i < count; i++) {
          float[] to = batch.data();
          System.arraycopy(x.data(), 0, to, i * x.size(), x.size());
          int top = ((from + i) / columns) * step - step / 2;
          int left = ((from + i) % columns) * step - step / 2;
          cover(to, i * x.size(), channels, height, width, top, left, 2 * step);
        }
        Tensor covered = session.run(batch);
        for (int i = 0; i < count; i++) {
          fall[from + i] = (float) Math.max(0, before - probability(covered, i, chosen));
        }
      }
      return HeatMap.of(chosen, logits, Tensor.of(fall, rows, columns), height, width);
    }
  }

  /** Sets a square to zero, which is the mean color of the training images. */
  private static void cover(
      float[] data, int at, int channels, int height, int width, int top, int left, int side) {
    for (int c = 0; c < channels; c++) {
      for (int y = Math.max(0, top); y < Math.min(height, top + side); y++) {
        int row = at + (c * height + y) * width;
        Arrays.fill(data, row + Math.max(0, left), row + Math.min(width, left + side), 0);
      }
    }
  }

  private static double probability(Tensor logits, int row, int index) {
    int classes = logits.dim(1);
    double sum = 0;
    double own = logits.data()[row * classes + index];
    for (int c = 0; c < classes; c++) {
      sum += Math.exp(logits.data()[row * classes + c] - own);
    }
    return 1 / sum;
  }

  /** {@code Explainer[1000 classes]}. */
  @Override
  public String toString() {
    return "Explainer[%d classes]".formatted(classes());
  }
}
