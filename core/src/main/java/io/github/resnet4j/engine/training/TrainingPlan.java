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

/** A training step that is ready to run, and the state that changes from step to step. */
public final class TrainingPlan {
  /**
   * @param prepare runs before the images
   * @param passes run one after the other, for some images
   * @param chunkSize the chunk size: the number of these images
   * @param finish runs after all images
   */
  record Stage(
      String name,
      List<Work.Job> prepare,
      List<Work.Images> passes,
      int chunkSize,
      List<Work.Job> finish) {
    static Stage of(StageSchedule.Stage planned, TrainingPlacement placement) {
      List<Work> passes = planned.tasks().stream().map(task -> task.place(placement)).toList();
      return new Stage(
          planned.name(),
          passes.stream().map(Work::prepare).filter(Objects::nonNull).toList(),
          passes.stream().map(Work::images).filter(Objects::nonNull).toList(),
          planned.chunkSize(),
          passes.stream().map(Work::finish).filter(Objects::nonNull).toList());
    }
  }

  private final TrainingPlacement placement;
  private final TrainingLayout trainingLayout;
  private final List<Stage> stages;
  private final Map<String, RunningStatistics> statistics = new LinkedHashMap<>();

  TrainingPlan(TrainingPlacement placement) {
    this.placement = placement;
    this.trainingLayout = placement.trainingLayout();
    for (BatchNormUnit unit : trainingLayout.units()) {
      statistics.put(unit.norm().name(), placement.norm(unit).running());
    }
    this.stages =
        trainingLayout.stages().stream().map(stage -> Stage.of(stage, placement)).toList();
  }

  List<Stage> stages() {
    return stages;
  }

  TrainingPlacement placement() {
    return placement;
  }

  TrainingSetup setup() {
    return trainingLayout.setup();
  }

  /**
   * Checks that every batch norm has more than one value per channel, since one value has no
   * variance.
   *
   * @param images the batch size
   * @throws IllegalArgumentException naming the layer
   */
  public void checkBatch(int images) {
    if (images > 1 || setup().frozenStatistics()) {
      return;
    }
    Layout image = trainingLayout.convolutions().getFirst().in().layout();
    for (BatchNormUnit unit : trainingLayout.units()) {
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
   * Drops branches of the next batch at random, later blocks more often (arXiv 1603.09382, equation
   * 4).
   */
  public void dropBranches(SplittableRandom random) {
    List<BranchFactors> branches = placement.branches();
    for (int b = 0; b < branches.size(); b++) {
      double rate = setup().stochasticDepth() * b / Math.max(1, branches.size() - 1);
      for (int n = 0; n < setup().batch(); n++) {
        boolean kept = random.nextDouble() >= rate;
        branches.get(b).ofImages()[n] = kept ? (float) (1 / (1 - rate)) : 0;
      }
    }
  }

  /** The convolutions whose weights are standardized before use. */
  public StandardizedConvolutions standardizedConvolutions() {
    return new StandardizedConvolutions(this, trainingLayout);
  }

  /** The positions of the parameters and of their gradients. */
  public ParameterLayout parameters() {
    return trainingLayout.parameters();
  }

  /** The array that holds the gradients, from {@link #gradientsAt} on. */
  public float[] arena() {
    return placement.arena();
  }

  /** The index of the gradient of the first parameter. */
  public int gradientsAt() {
    return placement.gradientsAt(0);
  }

  /**
   * The running means and variances of all batch norms themselves, not copies, in the order of the
   * layers.
   */
  public List<float[]> statistics() {
    return statistics.values().stream()
        .flatMap(each -> List.of(each.mean, each.variance).stream())
        .toList();
  }

  /** Adds batches whose statistics were computed elsewhere to {@code num_batches_tracked}. */
  public void countBatches(long count) {
    statistics.values().forEach(each -> each.batches += count);
  }

  /** The number of bytes of all arrays. */
  public long bytes() {
    return 4L
        * ((long) placement.arena().length
            + parameters().weights().values().length
            + placement.scratch().values().length);
  }

  /** The current weights and running statistics. */
  public StateDict state() {
    var entries = new LinkedHashMap<String, Tensor>();
    StateDict trained = parameters().toTensors(parameters().weights().values());
    for (Parameter parameter : trainingLayout.network().parameters()) {
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
