package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.engine.conv.InputGradient;
import io.github.resnet4j.engine.conv.WinogradBands;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.conv.WinogradWeights;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A convolution by Winograd's algorithm, forward or as the gradient of its input. Its weights are
 * transformed into the scratch before the images.
 *
 * @param unit whose weights they are
 * @param layer as the algorithm sees it: in a gradient inputs and outputs are exchanged
 * @param isGradient whether the weights have to be turned round first
 * @param isSum whether the result is added to what is there
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
  /** Where the transformed weights begin in the scratch; behind them are zeros for the bias. */
  private static final int AT = ArenaPlanner.ALIGNMENT;

  private static final int TAPS = 9;

  static WinogradTask forward(ConvUnit unit, Winograd form) {
    return new WinogradTask(unit, unit.conv(), unit.in(), unit.x(), false, false, form);
  }

  static WinogradTask inputGradient(
      ConvUnit unit, Conv2d turned, Slot dx, Slot to, boolean isSum, Winograd form) {
    return new WinogradTask(unit, turned, dx, to, true, isSum, form);
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
  public int scratch(LaidOut laid) {
    return turnedAt(laid) + (isGradient ? turned(laid).scratchSize() : 0);
  }

  private int zerosAt(LaidOut laid) {
    int inputs = laid.layout(in).paddedChannels();
    return AT + form.products() * inputs * laid.layout(out).paddedChannels();
  }

  /** Where the weights lie that are turned round. */
  private int turnedAt(LaidOut laid) {
    return zerosAt(laid) + 2 * laid.layout(out).paddedChannels();
  }

  private InputGradient turned(LaidOut laid) {
    return new InputGradient(
        laid.weights(unit.conv()), laid.layout(in), laid.layout(out), isSum, laid.kernels());
  }

  @Override
  public int room(LaidOut laid) {
    return bands(laid).room(convolution(laid));
  }

  private Convolution convolution(LaidOut laid) {
    return laid.convolution(layer, in, out, isSum);
  }

  private WinogradBands bands(LaidOut laid) {
    return WinogradBands.of(convolution(laid), form, unit.imagesAtOnce(), 1, laid.kernels());
  }

  @Override
  public Pass place(Placed placed) {
    LaidOut laid = placed.laid();
    Activation to = placed.at(out);
    var operands = new Operands(placed.at(in), to, isSum ? to : null);
    WinogradBands bands = bands(laid);
    int zerosAt = zerosAt(laid);
    var weights =
        new WinogradConv.Weights(placed.scratch(), bands.channels(), AT, zerosAt, zerosAt);
    var steps = new WinogradConv[laid.setup().threads()];
    Arrays.setAll(
        steps,
        worker ->
            new WinogradConv(
                convolution(laid),
                bands,
                operands,
                placed.roomAt(this, worker),
                weights,
                laid.kernels()));
    return Pass.of((worker, first, n) -> steps[worker].run(placed.frame(), first, n, 0, 0, 1))
        .preparedBy(new Transform(this, placed, bands.channels()));
  }

  /** Transforms the weights. */
  private static final class Transform implements Pass.Job {
    private final ConvWeights own;
    private final @Nullable InputGradient turned;
    private final Floats scratch;
    private final int turnedAt;
    private final int zerosAt;
    private final int inputs;
    private final int outputs;

    /** Output channels that are multiplied together. */
    private final int channels;

    /** One for each worker. */
    private final WinogradWeights[] transforms;

    Transform(WinogradTask task, Placed placed, int channels) {
      LaidOut laid = placed.laid();
      this.own = laid.weights(task.unit.conv());
      this.turned = task.isGradient ? task.turned(laid) : null;
      this.scratch = placed.scratch();
      this.turnedAt = task.turnedAt(laid);
      this.zerosAt = task.zerosAt(laid);
      this.inputs = laid.layout(task.in).paddedChannels();
      this.outputs = laid.layout(task.out).paddedChannels();
      this.channels = channels;
      this.transforms = new WinogradWeights[laid.setup().threads()];
      Arrays.setAll(transforms, _ -> new WinogradWeights(task.form, Rooms.ZEROS));
    }

    @Override
    public void run(int worker, int count) {
      if (worker == 0) {
        Arrays.fill(scratch.values(), zerosAt, zerosAt + 2 * outputs, 0);
      }
      int rows = turned == null ? own.direct.channels() : turned.channels();
      for (int b = worker; b < outputs / rows; b += transforms.length) {
        if (turned == null) {
          block(
              transforms[worker],
              own.direct.data(),
              own.direct.blocks()[b].at(),
              own.direct.run(),
              b,
              rows);
        } else {
          turned.prepare(scratch, turnedAt, b);
          block(transforms[worker], scratch, turned.at(turnedAt, b), turned.run(), b, rows);
        }
      }
    }

    /**
     * Transforms a block of output channels.
     *
     * @param at where its weights begin
     * @param run input channels of a run
     * @param rows output channels of the block
     */
    private void block(WinogradWeights transform, Floats from, int at, int run, int b, int rows) {
      int o = b * rows;
      int to = AT + o / channels * inputs * channels + o % channels;
      for (int c = 0; c < inputs; c++) {
        int row = at + (c / run * TAPS * run + c % run) * rows;
        transform.transform(
            from.values(), row, run * rows, rows, scratch, to + c * channels, inputs * outputs);
      }
    }
  }
}
