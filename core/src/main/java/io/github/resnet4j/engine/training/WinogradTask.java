package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.engine.conv.InputGradient;
import io.github.resnet4j.engine.conv.WinogradBands;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Encoding;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.kernel.WinogradKernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A convolution by Winograd's algorithm, forward or as the gradient of its input. Its weights are
 * transformed into the scratch array before the images.
 *
 * @param unit the convolution that has the weights
 * @param layer the convolution that is computed: in a gradient inputs and outputs are exchanged
 * @param isGradient whether the weights are rotated by 180° first
 * @param isSum whether the result is added to the existing values
 */
record WinogradTask(
    ConvUnit unit,
    Conv2d layer,
    Slot in,
    Slot out,
    boolean isGradient,
    boolean isSum,
    Winograd form)
    implements Task {
  /**
   * The index of the transformed weights in the scratch array; after them come zeros for the bias.
   */
  private static final int AT = ArenaPlanner.ALIGNMENT;

  private static final int TAPS = 9;

  static WinogradTask forward(ConvUnit unit, Winograd form) {
    return new WinogradTask(unit, unit.conv(), unit.in(), unit.x(), false, false, form);
  }

  static WinogradTask inputGradient(
      ConvUnit unit, Conv2d rotated, Slot dx, Slot to, boolean isSum, Winograd form) {
    return new WinogradTask(unit, rotated, dx, to, true, isSum, form);
  }

  @Override
  public List<Slot> uses() {
    return List.of(in, out);
  }

  @Override
  public Map<Slot, Border> borders() {
    return Map.of(in, Border.of(form, in.layout().height(), in.layout().width()));
  }

  @Override
  public int scratch(TrainingLayout trainingLayout) {
    return rotatedAt(trainingLayout) + (isGradient ? rotated(trainingLayout).scratchSize() : 0);
  }

  private int zerosAt(TrainingLayout trainingLayout) {
    int inputs = trainingLayout.layout(in).paddedChannels() / factors(trainingLayout).perWord();
    return AT + form.products() * inputs * trainingLayout.layout(out).paddedChannels();
  }

  private Format factors(TrainingLayout trainingLayout) {
    return convolution(trainingLayout).winogradFactors(form);
  }

  /** The index of the rotated weights. */
  private int rotatedAt(TrainingLayout trainingLayout) {
    return zerosAt(trainingLayout) + 2 * trainingLayout.layout(out).paddedChannels();
  }

  /** Prepares the rotated weights, in floats. */
  private InputGradient rotated(TrainingLayout trainingLayout) {
    return new InputGradient(
        trainingLayout.weights(unit.conv()),
        trainingLayout.layout(in).withEncoding(Encoding.FLOATS),
        trainingLayout.layout(out).withEncoding(Encoding.FLOATS),
        isSum,
        trainingLayout.kernels());
  }

  @Override
  public int workspace(TrainingLayout trainingLayout) {
    return bands(trainingLayout).workspace(convolution(trainingLayout));
  }

  private Convolution convolution(TrainingLayout trainingLayout) {
    return trainingLayout.convolution(layer, in, out, isSum);
  }

  private WinogradBands bands(TrainingLayout trainingLayout) {
    return WinogradBands.of(
        convolution(trainingLayout), form, unit.chunkSize(), 1, trainingLayout.kernels());
  }

  @Override
  public Work place(TrainingPlacement placement) {
    TrainingLayout trainingLayout = placement.trainingLayout();
    Activation to = placement.at(out);
    var operands = new Operands(placement.at(in), to, isSum ? to : null);
    WinogradBands bands = bands(trainingLayout);
    int zerosAt = zerosAt(trainingLayout);
    var weights =
        new WinogradConv.Weights(placement.scratch(), bands.channels(), AT, zerosAt, zerosAt);
    var steps = new WinogradConv[trainingLayout.setup().threads()];
    Arrays.setAll(
        steps,
        worker ->
            new WinogradConv(
                convolution(trainingLayout),
                bands,
                operands,
                placement.workspaceAt(this, worker),
                weights,
                trainingLayout.kernels()));
    return Work.of((worker, first, n) -> steps[worker].run(placement.context(), first, n, 0, 0, 1))
        .preparedBy(new Transform(this, placement, bands.channels()));
  }

  /** Transforms the weights to factors. */
  private static final class Transform implements Work.Job {
    private final ConvWeights own;
    private final @Nullable InputGradient rotated;
    private final Floats scratch;
    private final int rotatedAt;
    private final int zerosAt;
    private final int inputs;
    private final int outputs;

    /** The number of input channels whose factors share a word. */
    private final int perWord;

    /** The number of output channels that are multiplied together. */
    private final int channels;

    /** One for each worker. */
    private final WinogradKernels.Rows[] transforms;

    Transform(WinogradTask task, TrainingPlacement placement, int channels) {
      TrainingLayout trainingLayout = placement.trainingLayout();
      Format factors = task.factors(trainingLayout);
      this.own = trainingLayout.weights(task.unit.conv());
      this.rotated = task.isGradient ? task.rotated(trainingLayout) : null;
      this.scratch = placement.scratch();
      this.rotatedAt = task.rotatedAt(trainingLayout);
      this.zerosAt = task.zerosAt(trainingLayout);
      this.inputs = trainingLayout.layout(task.in).paddedChannels();
      this.outputs = trainingLayout.layout(task.out).paddedChannels();
      this.perWord = factors.perWord();
      this.channels = channels;
      int rows = rows();
      int step = inputs / perWord * outputs;
      var windows = new WinogradKernels.WindowRows(rows, segment() * rows, step, channels);
      WinogradKernels kernels = trainingLayout.kernels().winograd();
      this.transforms = new WinogradKernels.Rows[trainingLayout.setup().threads()];
      Arrays.setAll(transforms, _ -> kernels.weights(task.form, windows, factors));
    }

    /** The number of output channels of a block. */
    private int rows() {
      return rotated == null ? own.direct.channels() : rotated.channels();
    }

    /** The number of input channels of a segment. */
    private int segment() {
      return rotated == null ? own.direct.segment() : rotated.segment();
    }

    @Override
    public void run(int worker, int count) {
      if (worker == 0) {
        Arrays.fill(scratch.values(), zerosAt, zerosAt + 2 * outputs, 0);
      }
      for (int b = worker; b < outputs / rows(); b += transforms.length) {
        if (rotated == null) {
          block(worker, own.direct.data(), own.direct.blocks()[b].at(), b);
        } else {
          rotated.prepare(scratch, rotatedAt, b);
          block(worker, scratch, rotated.at(rotatedAt, b), b);
        }
      }
    }

    /**
     * Transforms a block of output channels, segment by segment.
     *
     * @param at the index of its weights
     */
    private void block(int worker, Floats weights, int at, int b) {
      int segment = segment();
      int rows = rows();
      int words = inputs / perWord;
      int o = b * rows;
      int to = AT + o / channels * words * channels + o % channels;
      for (int c = 0; c < inputs; c += segment) {
        int size = Math.min(segment, inputs - c);
        int from = at + c * TAPS * rows;
        transforms[worker].run(weights, from, scratch, to + c / perWord * channels, size);
      }
    }
  }
}
