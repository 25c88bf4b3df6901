package io.github.resnet4j.nn;

import java.util.List;

/**
 * The loss of one image, computed from the network's outputs (logits, or predicted numbers) and
 * targets, usually one of each per class; the loss of a batch is the mean over its images. Values
 * and gradients are those of PyTorch ({@code torch.nn.functional}) with {@code reduction='mean'}.
 */
public sealed interface Loss {
  /**
   * Computes the loss of an image and its gradient.
   *
   * @param outputs the network's outputs
   * @param targets {@link #targets} values
   * @param gradient receives the derivative of the loss with respect to each output
   * @return the loss
   */
  double apply(float[] outputs, float[] targets, double[] gradient);

  /** The number of targets of an image: one per output, unless the loss says otherwise. */
  default int targets(int outputs) {
    return outputs;
  }

  /**
   * Softmax and cross-entropy, for targets that are probabilities: {@code cross_entropy}. As there,
   * the mean over a batch divides by the number of images, whatever their weights.
   *
   * @param classWeights the factor of each class; empty for 1
   */
  record CrossEntropy(List<Float> classWeights) implements Loss {
    public CrossEntropy {
      classWeights = checked(classWeights);
    }

    @Override
    public double apply(float[] outputs, float[] targets, double[] gradient) {
      int classes = outputs.length;
      double largest = Double.NEGATIVE_INFINITY;
      for (float output : outputs) {
        largest = Math.max(largest, output);
      }
      double sum = 0;
      for (float output : outputs) {
        sum += Math.exp(output - largest);
      }
      double log = Math.log(sum) + largest;
      double loss = 0;
      double all = 0;
      for (int k = 0; k < classes; k++) {
        double target = weight(classWeights, k) * targets[k];
        loss += target * (log - outputs[k]);
        all += target;
        gradient[k] = -target;
      }
      for (int k = 0; k < classes; k++) {
        gradient[k] += Math.exp(outputs[k] - log) * all;
      }
      return loss;
    }
  }

  /**
   * Sigmoid and binary cross-entropy of every class, for images with any number of labels: {@code
   * binary_cross_entropy_with_logits}, the mean over the classes.
   *
   * @param positiveWeights the factor of each class for images that have it ({@code pos_weight});
   *     empty for 1
   */
  record BinaryCrossEntropy(List<Float> positiveWeights) implements Loss {
    public BinaryCrossEntropy {
      positiveWeights = checked(positiveWeights);
    }

    @Override
    public double apply(float[] outputs, float[] targets, double[] gradient) {
      double sum = 0;
      for (int k = 0; k < outputs.length; k++) {
        double positive = weight(positiveWeights, k) * targets[k];
        double negative = 1.0 - targets[k];
        sum += positive * softplus(-outputs[k]) + negative * softplus(outputs[k]);
        double p = sigmoid(outputs[k]);
        gradient[k] = (negative * p - positive * (1 - p)) / outputs.length;
      }
      return sum / outputs.length;
    }
  }

  /**
   * Focal loss of every class (arXiv 1708.02002, equation 5), for images with any number of labels:
   * {@code torchvision.ops.sigmoid_focal_loss}, the mean over the classes. Well-classified images
   * count less.
   *
   * @param alpha the factor of images that have the class, in [0, 1]; the others have 1 − alpha; or
   *     negative for no factor
   * @param gamma the exponent of 1 − p, where p is the probability of the truth; at least 0
   */
  record Focal(double alpha, double gamma) implements Loss {
    /**
     * @throws IllegalArgumentException if a value is out of range
     */
    public Focal {
      if (!(alpha <= 1) || !(gamma >= 0)) {
        throw new IllegalArgumentException(
            "focal loss needs an alpha of at most 1 and a gamma of at least 0, was %s and %s"
                .formatted(alpha, gamma));
      }
    }

    @Override
    public double apply(float[] outputs, float[] targets, double[] gradient) {
      double sum = 0;
      for (int k = 0; k < outputs.length; k++) {
        double x = outputs[k];
        double t = targets[k];
        double p = sigmoid(x);
        double slope = p * (1 - p);
        double entropy = t * softplus(-x) + (1 - t) * softplus(x);
        double wrong = p + t - 2 * p * t; // 1 − p for a label, p for others
        double weight = alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t);
        double power = Math.pow(wrong, gamma);
        sum += weight * power * entropy;
        double ofPower = gamma == 0 || wrong == 0 ? 0 : gamma * power / wrong * (1 - 2 * t) * slope;
        gradient[k] = weight * (ofPower * entropy + power * (p - t)) / outputs.length;
      }
      return sum / outputs.length;
    }
  }

  /** The squared difference, {@code mse_loss}: the mean over the numbers. */
  record MeanSquaredError() implements Loss {
    @Override
    public double apply(float[] outputs, float[] targets, double[] gradient) {
      double sum = 0;
      for (int k = 0; k < outputs.length; k++) {
        double difference = (double) outputs[k] - targets[k];
        sum += difference * difference;
        gradient[k] = 2 * difference / outputs.length;
      }
      return sum / outputs.length;
    }
  }

  /**
   * {@code smooth_l1_loss}, the mean over the numbers: the absolute difference, less half of beta,
   * and below beta a parabola (arXiv 1504.08083). Outliers count less than in the squared error.
   *
   * @param beta the difference below which it is quadratic; positive
   */
  record SmoothL1(double beta) implements Loss {
    /**
     * @throws IllegalArgumentException if beta is not positive
     */
    public SmoothL1 {
      if (!(beta > 0)) {
        throw new IllegalArgumentException("the beta of smooth L1 must be positive, was " + beta);
      }
    }

    @Override
    public double apply(float[] outputs, float[] targets, double[] gradient) {
      double sum = 0;
      for (int k = 0; k < outputs.length; k++) {
        double difference = (double) outputs[k] - targets[k];
        double size = Math.abs(difference);
        boolean small = size < beta;
        sum += small ? difference * difference / (2 * beta) : size - beta / 2;
        gradient[k] = (small ? difference / beta : Math.signum(difference)) / outputs.length;
      }
      return sum / outputs.length;
    }
  }

  /**
   * Knowledge distillation (arXiv 1503.02531): {@code (1 − weight) · cross-entropy + weight ·
   * temperature² · KL(teacher ‖ network)}, where both distributions are softmaxes of logits divided
   * by the temperature ({@code kl_div} with {@code reduction='batchmean'}).
   *
   * <p>The targets of an image are those of the cross-entropy, then the logits of the teacher.
   *
   * @param hard the cross-entropy with the labels
   * @param temperature positive; a higher one gives unlikely classes more influence
   * @param weight the fraction of the teacher, 0 to 1
   */
  record Distillation(CrossEntropy hard, double temperature, double weight) implements Loss {
    /**
     * @throws IllegalArgumentException if a value is out of range
     */
    public Distillation {
      if (!(temperature > 0 && temperature < Double.POSITIVE_INFINITY)
          || !(weight >= 0 && weight <= 1)) {
        throw new IllegalArgumentException(
            "distillation needs a positive temperature and a weight of 0 to 1, was %s and %s"
                .formatted(temperature, weight));
      }
    }

    @Override
    public int targets(int outputs) {
      return 2 * outputs;
    }

    @Override
    public double apply(float[] outputs, float[] targets, double[] gradient) {
      double labels = hard.apply(outputs, targets, gradient);
      double[] own = logSoftmax(outputs, 0, outputs.length);
      double[] teacher = logSoftmax(targets, outputs.length, outputs.length);
      double divergence = 0;
      for (int k = 0; k < outputs.length; k++) {
        double p = Math.exp(teacher[k]);
        divergence += p == 0 ? 0 : p * (teacher[k] - own[k]);
        gradient[k] = (1 - weight) * gradient[k] + weight * temperature * (Math.exp(own[k]) - p);
      }
      return (1 - weight) * labels + weight * temperature * temperature * divergence;
    }

    /** The logarithms of the softmax of logits divided by the temperature. */
    private double[] logSoftmax(float[] logits, int from, int count) {
      double[] logarithms = new double[count];
      double largest = Double.NEGATIVE_INFINITY;
      for (int k = 0; k < count; k++) {
        logarithms[k] = logits[from + k] / temperature;
        largest = Math.max(largest, logarithms[k]);
      }
      double sum = 0;
      for (double each : logarithms) {
        sum += Math.exp(each - largest);
      }
      double log = Math.log(sum) + largest;
      for (int k = 0; k < count; k++) {
        logarithms[k] -= log;
      }
      return logarithms;
    }
  }

  private static List<Float> checked(List<Float> weights) {
    for (float weight : weights) {
      if (!(weight >= 0 && weight < Float.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException("weights of classes must be at least 0, was " + weight);
      }
    }
    return List.copyOf(weights);
  }

  private static double weight(List<Float> weights, int k) {
    return weights.isEmpty() ? 1 : weights.get(k);
  }

  /** The probability of a class from its logit. */
  static double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
  }

  /** log(1 + exp(x)). */
  private static double softplus(double x) {
    return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  }
}
