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
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;

/**
 * Updates a network's weights from their gradients, with the arithmetic of PyTorch's optimizers.
 */
public final class Optimizer {
  /** The update rule. */
  public sealed interface Method extends Serializable {
    /**
     * Stochastic gradient descent: {@code m = momentum * m + g; w -= rate * m}.
     *
     * @param nesterov whether Nesterov momentum is used: {@code w -= rate * (g + momentum * m)}
     */
    record Sgd(float momentum, boolean nesterov) implements Method {}

    /** Adam with decoupled weight decay (arXiv 1711.05101). */
    record AdamW(float beta1, float beta2, float epsilon) implements Method {
      /** 0.9, 0.999, 1e-8. */
      public static final AdamW DEFAULT = new AdamW(0.9f, 0.999f, 1e-8f);
    }
  }

  private final TrainingSession session;
  private final ParameterArrays parameters;
  private final Method method;
  private final float weightDecay;
  private final List<Range> trained;
  private final Predicate<String> decays;
  private final ToDoubleFunction<String> rateFactors;
  private final double maxNorm;

  /** For each range of {@link #trained} the number of steps before it was first trained. */
  private final long[] start;

  private final float[] firstMoment;
  private final float[] secondMoment;
  private long steps;

  /**
   * @param weightDecay the weight decay
   * @param decays the names of parameters with weight decay
   * @param frozen the names of parameters that are not trained
   * @param rateFactors the factor of the learning rate for each parameter
   * @param maxNorm the maximum norm of all gradients together, to which larger ones are scaled as
   *     by {@code clip_grad_norm_}; 0 for no limit
   */
  public Optimizer(
      TrainingSession session,
      Method method,
      float weightDecay,
      Predicate<String> decays,
      Predicate<String> frozen,
      ToDoubleFunction<String> rateFactors,
      double maxNorm) {
    this.session = session;
    this.method = method;
    this.weightDecay = weightDecay;
    this.decays = decays;
    this.rateFactors = rateFactors;
    this.maxNorm = maxNorm;
    this.parameters = session.parameters();
    this.trained =
        parameters.ranges().stream().filter(range -> !frozen.test(range.name())).toList();
    this.start = new long[trained.size()];
    this.firstMoment = new float[parameters.size()];
    this.secondMoment =
        method instanceof Method.AdamW ? new float[parameters.size()] : new float[0];
  }

  /** The optimizer of a recipe. */
  static Optimizer of(Recipe recipe, Layer network, TrainingSession session) {
    Set<String> frozen = recipe.frozenParameters(network);
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
        recipe.rateFactors(network),
        recipe.clip());
  }

  /**
   * Freezes parameters for some steps, as PyTorch's optimizers leave parameters without gradients
   * as they are: they have neither momentum nor weight decay before they are trained.
   *
   * @param first the number of steps before a parameter is first trained; {@link Long#MAX_VALUE} if
   *     it is frozen until another call
   */
  void startAt(ToLongFunction<String> first) {
    for (int i = 0; i < start.length; i++) {
      start[i] = first.applyAsLong(trained.get(i).name());
    }
  }

  /** Whether a range is trained in the current step, which is counted already. */
  private boolean isTrained(int range) {
    return start[range] < steps;
  }

  /** Updates the weights once with the session's gradients. */
  public void step(float rate) {
    steps++;
    if (maxNorm > 0) {
      clipGradients();
    }
    session.inParallel((from, end) -> {
      for (int r = 0; r < trained.size(); r++) {
        Range range = trained.get(r);
        int first = Math.max(from, range.from());
        int stop = Math.min(end, range.end());
        if (first < stop && isTrained(r)) {
          float decay = decays.test(range.name()) ? weightDecay : 0;
          float parameterRate = (float) (rate * rateFactors.applyAsDouble(range.name()));
          switch (method) {
            case Method.Sgd(float momentum, boolean nesterov) when nesterov ->
                nesterov(first, stop, parameterRate, momentum, decay);
            case Method.Sgd(float momentum, boolean _) ->
                sgd(first, stop, parameterRate, momentum, decay);
            case Method.AdamW adam ->
                adam(first, stop, parameterRate, adam, decay, steps - start[r]);
          }
        }
      }
    });
  }

  /** Scales the gradients to the maximum norm. */
  private void clipGradients() {
    double sum = 0;
    for (int r = 0; r < trained.size(); r++) {
      if (!isTrained(r)) {
        continue;
      }
      Range range = trained.get(r);
      for (int i = range.from(); i < range.end(); i++) {
        double gradient = parameters.gradient(i);
        sum += gradient * gradient;
      }
    }
    float factor = (float) (maxNorm / (Math.sqrt(sum) + 1e-6));
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
      firstMoment[i] = momentum * firstMoment[i] + (parameters.gradient(i) + decay * w[i]);
      w[i] -= rate * firstMoment[i];
    }
  }

  private void nesterov(int from, int end, float rate, float momentum, float decay) {
    float[] w = parameters.weights();
    for (int i = from; i < end; i++) {
      float gradient = parameters.gradient(i) + decay * w[i];
      firstMoment[i] = momentum * firstMoment[i] + gradient;
      w[i] -= rate * (gradient + momentum * firstMoment[i]);
    }
  }

  private void adam(int from, int end, float rate, Method.AdamW adam, float decay, long step) {
    float[] w = parameters.weights();
    float stepSize = (float) (rate / (1 - Math.pow(adam.beta1, step)));
    float correction = (float) Math.sqrt(1 - Math.pow(adam.beta2, step));
    float kept = 1 - rate * decay;
    for (int i = from; i < end; i++) {
      float gradient = parameters.gradient(i);
      firstMoment[i] += (gradient - firstMoment[i]) * (1 - adam.beta1);
      secondMoment[i] = secondMoment[i] * adam.beta2 + (1 - adam.beta2) * gradient * gradient;
      w[i] =
          w[i] * kept
              - stepSize
                  * firstMoment[i]
                  / ((float) Math.sqrt(secondMoment[i]) / correction + adam.epsilon);
    }
  }

  /** The number of calls of {@link #step}. */
  public long steps() {
    return steps;
  }

  /** The optimizer's state by PyTorch's names, in the order of the session's weights. */
  SequencedMap<String, float[]> namedState() {
    var state = new LinkedHashMap<String, float[]>();
    if (method instanceof Method.AdamW) {
      state.put("exp_avg", firstMoment);
      state.put("exp_avg_sq", secondMoment);
    } else {
      state.put("momentum_buffer", firstMoment);
    }
    return state;
  }

  /** The same without names. */
  List<float[]> state() {
    return List.copyOf(namedState().values());
  }

  void setSteps(long stepsDone) {
    steps = stepsDone;
  }

  /** {@code Optimizer[Sgd[…]]}. */
  @Override
  public String toString() {
    return "Optimizer[%s]".formatted(method);
  }
}
