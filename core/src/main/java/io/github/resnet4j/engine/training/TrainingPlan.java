package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;

/** A training step, ready to run, and what changes from step to step. */
public final class TrainingPlan {
  /**
   * @param prepare before the images
   * @param passes one after the other, for some images
   * @param imagesAtOnce how many
   * @param finish after all images
   */
  record Stage(
      String name,
      List<Pass.Job> prepare,
      List<Pass.Images> passes,
      int imagesAtOnce,
      List<Pass.Job> finish) {
    static Stage of(Schedule.Stage planned, Placed placed) {
      List<Pass> passes = planned.tasks().stream().map(task -> task.place(placed)).toList();
      return new Stage(
          planned.name(),
          passes.stream().map(Pass::prepare).filter(Objects::nonNull).toList(),
          passes.stream().map(Pass::images).filter(Objects::nonNull).toList(),
          planned.imagesAtOnce(),
          passes.stream().map(Pass::finish).filter(Objects::nonNull).toList());
    }
  }

  private final Placed placed;
  private final LaidOut laid;
  private final List<Stage> stages;
  private final Map<String, RunningStatistics> statistics = new LinkedHashMap<>();

  TrainingPlan(Placed placed) {
    this.placed = placed;
    this.laid = placed.laid();
    for (Unit unit : laid.units()) {
      statistics.put(unit.norm().name(), placed.norm(unit).running());
    }
    this.stages = laid.stages().stream().map(stage -> Stage.of(stage, placed)).toList();
  }

  List<Stage> stages() {
    return stages;
  }

  Placed placed() {
    return placed;
  }

  TrainingSetup setup() {
    return laid.setup();
  }

  /**
   * Fails where batch norm has but one value per channel, of which there is no variance.
   *
   * @param images of a batch
   * @throws IllegalArgumentException naming the layer
   */
  public void checkBatch(int images) {
    if (images > 1 || setup().frozenStatistics()) {
      return;
    }
    Layout image = laid.convolutions().getFirst().in().layout();
    for (Unit unit : laid.units()) {
      if (unit.x().layout().height() * unit.x().layout().width() == 1) {
        throw new IllegalArgumentException(
            "batch norm '%s' expects more than 1 value per channel when training: there the maps of"
                    .formatted(unit.norm().name())
                + " an image of %d×%d are 1×1, and the micro-batch has 1 image"
                    .formatted(image.height(), image.width()));
      }
    }
  }

  /**
   * Leaves out branches of the next batch at random, later blocks more often (arXiv 1603.09382,
   * equation 4).
   */
  public void dropBranches(SplittableRandom random) {
    List<BranchScale> scales = placed.scales();
    for (int b = 0; b < scales.size(); b++) {
      double rate = setup().stochasticDepth() * b / Math.max(1, scales.size() - 1);
      for (int n = 0; n < setup().batch(); n++) {
        boolean kept = random.nextDouble() >= rate;
        scales.get(b).keep(n, kept ? (float) (1 / (1 - rate)) : 0);
      }
    }
  }

  /** Where the parameters and their gradients lie. */
  public ParameterLayout parameters() {
    return laid.parameters();
  }

  /** The array in which the gradients lie from {@link #gradientsAt} on. */
  public float[] arena() {
    return placed.arena();
  }

  /** Where the gradient of the first parameter lies. */
  public int gradientsAt() {
    return placed.gradientsAt(0);
  }

  /** Batch norms' running means and variances themselves, in the order of the layers. */
  public List<float[]> statistics() {
    return statistics.values().stream()
        .flatMap(each -> List.of(each.mean, each.variance).stream())
        .toList();
  }

  /** Counts batches whose statistics came from elsewhere. */
  public void countBatches(long count) {
    statistics.values().forEach(each -> each.batches += count);
  }

  /** Bytes of all arrays. */
  public long bytes() {
    return 4L
        * ((long) placed.arena().length
            + parameters().weights().values().length
            + placed.scratch().values().length);
  }

  /** Weights and running statistics as they are now. */
  public StateDict state() {
    var entries = new LinkedHashMap<String, Tensor>();
    StateDict trained = parameters().toTensors(parameters().weights().values());
    for (Parameter parameter : laid.network().parameters()) {
      String name = parameter.name();
      Tensor tensor =
          switch (parameter.role()) {
            case TRAINED -> trained.get(name);
            case BUFFER -> {
              RunningStatistics running = ownerOf(name);
              float[] values = name.endsWith("mean") ? running.mean : running.variance;
              yield Tensor.of(values.clone(), parameter.extents());
            }
            case COUNTER -> Tensor.filled(ownerOf(name).batches, parameter.extents());
          };
      entries.put(name, tensor);
    }
    return new StateDict(entries);
  }

  private RunningStatistics ownerOf(String parameter) {
    String layer = parameter.substring(0, parameter.lastIndexOf('.'));
    return Objects.requireNonNull(statistics.get(layer));
  }

  /** Replaces weights and running statistics. */
  public void load(StateDict state) {
    parameters().fromTensors(state, parameters().weights().values());
    statistics.values().forEach(each -> each.load(state));
  }
}
