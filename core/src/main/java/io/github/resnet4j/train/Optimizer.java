package io.github.resnet4j.train;

import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.engine.ParameterArrays.Range;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Parameter;
import java.io.Serializable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;

/** Changes a network's weights by their gradients, number for number as PyTorch's do. */
public final class Optimizer {
  /** How weights follow from gradients. */
  public sealed interface Method extends Serializable {
    /**
     * Stochastic gradient descent: {@code m = momentum * m + g; w -= rate * m}.
     *
     * @param nesterov whether the step looks ahead: {@code w -= rate * (g + momentum * m)}
     */
    record Sgd(float momentum, boolean nesterov) implements Method {}

    /** Adam with decoupled weight decay (arXiv 1711.05101). */
    record AdamW(float beta1, float beta2, float epsilon) implements Method {
      /** 0.9, 0.999, 1e-8. */
      public static final AdamW USUAL = new AdamW(0.9f, 0.999f, 1e-8f);
    }
  }

  private final TrainingSession session;
  private final ParameterArrays parameters;
  private final Method method;
  private final float weightDecay;
  private final List<Range> learning;
  private final Predicate<String> decays;
  private final ToDoubleFunction<String> rates;
  private final double clip;
  private final float[] first;
  private final float[] second;
  private long steps;

  /**
   * @param weightDecay what each step takes away from a weight, before the rate
   * @param decays the parameters, by name, that it applies to
   * @param frozen the parameters that stay as they are
   * @param rates by what the rate is multiplied for a parameter
   * @param clip the longest that the gradients together may be, longer ones are scaled down as by
   *     {@code clip_grad_norm_}; or 0
   */
  public Optimizer(
      TrainingSession session,
      Method method,
      float weightDecay,
      Predicate<String> decays,
      Predicate<String> frozen,
      ToDoubleFunction<String> rates,
      double clip) {
    this.session = session;
    this.method = method;
    this.weightDecay = weightDecay;
    this.decays = decays;
    this.rates = rates;
    this.clip = clip;
    this.parameters = session.parameters();
    this.learning =
        parameters.ranges().stream().filter(range -> !frozen.test(range.name())).toList();
    this.first = new float[parameters.size()];
    this.second = method instanceof Method.AdamW ? new float[parameters.size()] : new float[0];
  }

  /** The one of a recipe. */
  static Optimizer of(Recipe recipe, Layer network, TrainingSession session) {
    Set<String> frozen = recipe.frozenOf(network);
    Set<String> weights = // of convolutions and head: neither batch norm's nor biases
        network.parameters().stream()
            .filter(parameter -> parameter.shape().size() > 1)
            .map(Parameter::name)
            .collect(Collectors.toSet());
    return new Optimizer(
        session,
        recipe.method(),
        recipe.weightDecay(),
        name -> recipe.decayAll() || weights.contains(name),
        frozen::contains,
        recipe::rateOf,
        recipe.clip());
  }

  /** One step against the session's gradients. */
  public void step(float rate) {
    steps++;
    if (clip > 0) {
      shorten();
    }
    session.inParallel((from, end) -> {
      for (Range range : learning) {
        int start = Math.max(from, range.from());
        int stop = Math.min(end, range.end());
        if (start < stop) {
          float decay = decays.test(range.name()) ? weightDecay : 0;
          float own = (float) (rate * rates.applyAsDouble(range.name()));
          switch (method) {
            case Method.Sgd(float momentum, boolean nesterov) when nesterov ->
                nesterov(start, stop, own, momentum, decay);
            case Method.Sgd(float momentum, boolean _) -> sgd(start, stop, own, momentum, decay);
            case Method.AdamW adam -> adam(start, stop, own, adam, decay);
          }
        }
      }
    });
  }

  /** Scales the gradients so that they are no longer than allowed. */
  private void shorten() {
    double sum = 0;
    for (Range range : learning) {
      for (int i = range.from(); i < range.end(); i++) {
        double gradient = parameters.gradient(i);
        sum += gradient * gradient;
      }
    }
    float factor = (float) (clip / (Math.sqrt(sum) + 1e-6));
    if (factor < 1) {
      session.inParallel((from, end) -> {
        for (int i = from; i < end; i++) {
          parameters.setGradient(i, parameters.gradient(i) * factor);
        }
      });
    }
  }

  private void sgd(int from, int end, float rate, float momentum, float decay) {
    float[] w = parameters.weights();
    for (int i = from; i < end; i++) {
      first[i] = momentum * first[i] + (parameters.gradient(i) + decay * w[i]);
      w[i] -= rate * first[i];
    }
  }

  private void nesterov(int from, int end, float rate, float momentum, float decay) {
    float[] w = parameters.weights();
    for (int i = from; i < end; i++) {
      float gradient = parameters.gradient(i) + decay * w[i];
      first[i] = momentum * first[i] + gradient;
      w[i] -= rate * (gradient + momentum * first[i]);
    }
  }

  private void adam(int from, int end, float rate, Method.AdamW adam, float decay) {
    float[] w = parameters.weights();
    float size = (float) (rate / (1 - Math.pow(adam.beta1, steps)));
    float root = (float) Math.sqrt(1 - Math.pow(adam.beta2, steps));
    float kept = 1 - rate * decay;
    for (int i = from; i < end; i++) {
      float gradient = parameters.gradient(i);
      first[i] += (gradient - first[i]) * (1 - adam.beta1);
      second[i] = second[i] * adam.beta2 + (1 - adam.beta2) * gradient * gradient;
      w[i] = w[i] * kept - size * first[i] / ((float) Math.sqrt(second[i]) / root + adam.epsilon);
    }
  }

  /** How often {@link #step} was called. */
  public long steps() {
    return steps;
  }

  /** What it remembers, by PyTorch's names, in the order of the session's weights. */
  SequencedMap<String, float[]> namedMemory() {
    var memory = new LinkedHashMap<String, float[]>();
    if (method instanceof Method.AdamW) {
      memory.put("exp_avg", first);
      memory.put("exp_avg_sq", second);
    } else {
      memory.put("momentum_buffer", first);
    }
    return memory;
  }

  /** The same without names. */
  List<float[]> memory() {
    return List.copyOf(namedMemory().values());
  }

  void resumeAfter(long stepsDone) {
    steps = stepsDone;
  }

  /** {@code Optimizer[Sgd[…]]}. */
  @Override
  public String toString() {
    return "Optimizer[%s]".formatted(method);
  }
}
