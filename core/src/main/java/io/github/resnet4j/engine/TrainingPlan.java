package io.github.resnet4j.engine;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.InputGradient;
import io.github.resnet4j.engine.conv.WeightGradient;
import io.github.resnet4j.engine.conv.WinogradBands;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.conv.WinogradWeightGradient;
import io.github.resnet4j.engine.conv.WinogradWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Fusion;
import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.GraphBuilder;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.Frame;
import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.engine.step.InputStep;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.engine.step.PoolSteps;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.engine.step.Workers;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.kernel.PoolKernels;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.ChannelAttention;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A training step as a list of stages. Within a stage every worker takes its own images through all
 * of the stage's passes, a few at a time, so that what one pass writes is still in the cache when
 * the next one reads it. Workers meet between stages only, where batch norm needs to know the whole
 * batch.
 */
final class TrainingPlan {
  /** Channels of a block at most; an array of as many zeros serves as bias. */
  private static final int MOST_CHANNELS = 64;

  /** Work on some images. */
  private interface Pass {
    void run(int worker, int first, int count);
  }

  /** Work that workers share in another way than by images. */
  private interface Job {
    void run(int worker);
  }

  /**
   * @param prepare before the images, and what all have finished before anyone begins with them
   * @param passes one after the other, for some images
   * @param imagesAtOnce how many
   * @param finish after all images
   */
  private record Stage(
      String name, List<Job> prepare, List<Pass> passes, int imagesAtOnce, List<Job> finish) {}

  private final Kernels kernels;
  private final AlgorithmChoice choice;
  private final TrainingSession.Options options;
  private final int batch;
  private final int threads;
  private final int block;
  private final ParameterLayout layout;
  private final Floats weights;
  private final Map<String, TrainedNorm> norms = new LinkedHashMap<>();
  private final Linear head;
  private final StateDict initial;
  private final Sequential network;
  private final List<Stage> stages = new ArrayList<>();
  private long[] nanos = {};

  private final Lifetimes lifetimes = new Lifetimes();

  /** A place in the arena that is always needed: planned like activations. */
  private final Draft zeros;

  private final List<Draft> gradientParts = new ArrayList<>();
  private Frame frame = new Frame();
  private Floats scratch = Floats.of(new float[0]);
  private int scratchSize;

  /** What is made when borders are settled: it says how much scratch it needs. */
  private final List<Runnable> whenSettled = new ArrayList<>();

  /** What is made when there is scratch. */
  private final List<Runnable> whenScratched = new ArrayList<>();

  /** What is made when everything has its place. */
  private final List<Runnable> whenPlaced = new ArrayList<>();

  private final CrossEntropy loss;
  private int count;

  /** A convolution with its batch norm, as the backward pass finds it. */
  private record Unit(
      ConvWeights weights,
      TrainedNorm norm,
      Draft in,
      Draft x,
      @Nullable Draft y,
      @Nullable Shortcut shortcut,
      @Nullable BranchScale scale,
      boolean learns,
      boolean inputNeeds) {
    /** What its gradient is known by: a projection's result is only written before the sum. */
    Draft result() {
      return y == null ? x : y;
    }
  }

  /** What a block's last unit adds: an activation as it is, or a projection's normalised result. */
  private record Shortcut(
      Draft residual, @Nullable TrainedNorm norm, @Nullable SubsampleAndPad pad, Draft in) {}

  /** Option A's shortcut, and the gradient of what it led to. */
  private record Padded(SubsampleAndPad pad, Draft gradient) {}

  private record Pooled(Layer layer, Draft in, Draft out) {}

  /** What an activation holds the means of. */
  private record Averaged(AvgPool2d layer, Draft in) {}

  private final Map<Draft, Averaged> averages = new HashMap<>();

  /** Of the blocks whose main branch is scaled, first to last. */
  private final List<BranchScale> scales = new ArrayList<>();

  private final List<Object> tape = new ArrayList<>();
  private List<Pass> pending = new ArrayList<>();
  private final Map<Draft, Boolean> needs = new HashMap<>();

  /** Where the gradient of an activation is. */
  private final Map<Draft, Draft> gradients = new HashMap<>();

  private final Map<Draft, Padded> padGradients = new HashMap<>();
  private final List<Runnable> toMask = new ArrayList<>();
  private final Draft input;

  TrainingPlan(
      Sequential network, StateDict state, int inChannels, TrainingSession.Options options) {
    network.requireFits(options.height(), options.width());
    this.network = network;
    this.initial = state;
    this.options = options;
    this.kernels = options.kernels();
    this.choice =
        options.algorithm() == CompileOptions.Algorithm.DIRECT
            ? AlgorithmChoice.DIRECT
            : AlgorithmChoice.BY_RULE;
    this.batch = options.batch();
    this.threads = options.threads();
    Graph graph =
        Fusion.fuse(GraphBuilder.build(network, inChannels, options.height(), options.width()));
    this.block = graph.blockChannels();
    this.zeros = new Draft(MOST_CHANNELS, 1, 1, MOST_CHANNELS);
    lifetimes.keep(zeros);
    this.head = (Linear) network.layers().getLast();
    this.input =
        activation(
            inChannels, options.height(), options.width(), inChannels < 16 ? inChannels : block);
    var shapes = convolutions(graph);
    shapes.put(head.name(), headConvolution(head));
    this.layout = new ParameterLayout(network, shapes, state, kernels);
    this.weights = layout.weights();
    for (int t = 0; t < threads; t++) {
      var part = new Draft(1, 1, layout.size(), 1);
      gradientParts.add(part);
      lifetimes.keep(part);
    }
    lifetimes.touch(input, 0);
    var inputStep = new InputStep[1];
    whenPlaced.add(() -> inputStep[0] = new InputStep(input.placed()));
    pending.add((_, first, n) -> inputStep[0].run(frame, first, n, 0, 0, 1));
    Draft last = forward(network, input);
    var pooled = activation(last.channels, 1, batch, block, 1);
    loss = new CrossEntropy(head.out(), batch, block);
    headStages(last, pooled);
    nanos = new long[stages.size()];
  }

  private Draft activation(int channels, int height, int width, int blockChannels) {
    return activation(channels, height, width, blockChannels, batch);
  }

  private static Draft activation(
      int channels, int height, int width, int blockChannels, int images) {
    var activation = new Draft(channels, height, width, blockChannels);
    activation.holdImages(images);
    return activation;
  }

  private static <K, V> V known(Map<K, V> map, K key) {
    return Objects.requireNonNull(map.get(key));
  }

  /** Extends an activation's life to the stage that is being made. */
  private void touch(Draft activation) {
    lifetimes.touch(activation, stages.size());
  }

  // --- weights ----------------------------------------------------------------------------------

  /** The head as a 1×1 convolution of an image whose pixels are the batch. */
  private Convolution headConvolution(Linear linear) {
    return new Convolution(
        new Conv2d(linear.name(), linear.in(), linear.out(), 1, 1, 0, 1, 1),
        null,
        Layout.of(linear.in(), 1, batch, block),
        Layout.of(linear.out(), 1, batch, block),
        null,
        false);
  }

  /** How the operands of all convolutions lie, which decides how their weights do. */
  private Map<String, Convolution> convolutions(Graph graph) {
    var found = new LinkedHashMap<String, Convolution>();
    for (Op op : graph.ops()) {
      if (op instanceof Op.Conv conv) {
        int border = 0;
        for (Op reader : graph.readers(conv.in())) {
          if (reader instanceof Op.Conv other && other.in() == conv.in()) {
            border = Math.max(border, other.layer().padding());
          }
        }
        Layout in = layout(conv.in()).withBorder(Border.of(border));
        found.put(
            conv.name(), new Convolution(conv.layer(), null, in, layout(conv.out()), null, false));
      }
    }
    return found;
  }

  private Layout layout(Value value) {
    int of = value.channels() < 16 ? value.channels() : block;
    return Layout.of(value.channels(), value.height(), value.width(), of).withImages(batch);
  }

  private static Convolution laidOut(Conv2d layer, Draft in, Draft out, @Nullable Draft residual) {
    return new Convolution(
        layer, null, in.layout(), out.layout(), residual == null ? null : residual.layout(), false);
  }

  private static Operands placed(Draft in, Draft out, @Nullable Draft residual) {
    return new Operands(in.placed(), out.placed(), residual == null ? null : residual.placed());
  }

  private Draft result(Layer layer, Draft in, int channels) {
    return activation(channels, layer.outputExtent(in.height), layer.outputExtent(in.width), block);
  }

  // --- forward ----------------------------------------------------------------------------------

  private Draft forward(Sequential sequence, Draft x) {
    List<Layer> layers = sequence.layers();
    Draft at = x;
    for (int i = 0; i < layers.size(); i++) {
      switch (layers.get(i)) {
        case Conv2d conv -> {
          BatchNorm2d norm = (BatchNorm2d) layers.get(i + 1);
          at = unit(conv, norm, at, null, null, true);
          i += i + 2 < layers.size() && layers.get(i + 2) instanceof Relu ? 2 : 1;
        }
        case MaxPool2d pool -> at = pool(pool, at);
        case AvgPool2d pool -> at = pool(pool, at);
        case BlurPool2d pool -> at = pool(pool, at);
        case Residual residual -> at = block(residual, at);
        case Sequential inner -> at = forward(inner, at);
        case Relu _, Identity _, GlobalAveragePool _, Linear _ -> {}
        case SqueezeExcite _, EfficientAttention _ ->
            throw new IllegalArgumentException(layers.get(i).name());
        case BatchNorm2d norm -> throw new IllegalArgumentException(norm.name());
        case SubsampleAndPad pad -> throw new IllegalArgumentException(pad.name());
      }
    }
    return at;
  }

  private Draft block(Residual residual, Draft in) {
    Shortcut shortcut =
        switch (residual.shortcut()) {
          case Sequential projection -> {
            List<Layer> layers = projection.layers();
            Conv2d conv = (Conv2d) layers.get(layers.size() - 2);
            BatchNorm2d norm = (BatchNorm2d) layers.getLast();
            Draft from = layers.getFirst() instanceof AvgPool2d pool ? average(pool, in) : in;
            Draft x = unit(conv, norm, from, null, null, false);
            yield new Shortcut(x, known(norms, norm.name()), null, in);
          }
          case SubsampleAndPad pad -> {
            var out =
                activation(
                    pad.channels(),
                    Math.ceilDiv(in.height, pad.stride()),
                    Math.ceilDiv(in.width, pad.stride()),
                    block);
            touch(in);
            touch(out);
            var step = new Step[1];
            whenPlaced.add(() ->
                step[0] =
                    new PoolSteps.Subsample(pad.name(), pad.stride(), in.placed(), out.placed()));
            pending.add((_, first, n) -> step[0].run(frame, first, n, 0, 0, 1));
            yield new Shortcut(out, null, pad, in);
          }
          default -> new Shortcut(in, null, null, in);
        };
    Draft at = in;
    List<Layer> layers = residual.main().layers();
    ChannelAttention attention =
        layers.getLast() instanceof ChannelAttention weighing ? weighing : null;
    int end = attention == null ? layers.size() : layers.size() - 1;
    for (int i = 0; i < end; i++) {
      switch (layers.get(i)) {
        case Conv2d conv -> {
          boolean last = i + 2 >= end;
          at =
              unit(
                  conv,
                  (BatchNorm2d) layers.get(i + 1),
                  at,
                  last ? shortcut : null,
                  last ? attention : null,
                  true);
        }
        case AvgPool2d pool -> at = pool(pool, at);
        case BlurPool2d pool -> at = pool(pool, at);
        default -> {}
      }
    }
    return at;
  }

  /** The means of windows, from which a projection begins. */
  private Draft average(AvgPool2d pool, Draft in) {
    Draft out = result(pool, in, in.channels);
    touch(in);
    touch(out);
    needs.put(out, needs.getOrDefault(in, false));
    averages.put(out, new Averaged(pool, in));
    var step = new Step[1];
    whenPlaced.add(
        () -> step[0] = new PoolSteps.AverageWindows(pool, in.placed(), out.placed(), kernels));
    pending.add((_, first, n) -> step[0].run(frame, first, n, 0, 0, 1));
    return out;
  }

  /** The activation that a unit's gradient ends at: before its averages, if it has some. */
  private Draft source(Draft in) {
    Averaged averaged = averages.get(in);
    return averaged == null ? in : averaged.in;
  }

  /**
   * A convolution and its batch norm.
   *
   * @param attention what weighs the result's channels before the shortcut is added
   * @param activated whether a ReLU follows; a projection has none, and its result joins the
   *     block's last sum without being written
   */
  private Draft unit(
      Conv2d conv,
      BatchNorm2d layer,
      Draft in,
      @Nullable Shortcut shortcut,
      @Nullable ChannelAttention attention,
      boolean activated) {
    Draft x = result(conv, in, conv.outChannels());
    ConvWeights own = layout.convolution(conv.name());
    var norm =
        new TrainedNorm(
            layer,
            x,
            layout.from(layer.name() + ".weight"),
            layout.from(layer.name() + ".bias"),
            initial,
            batch,
            options.frozenStatistics());
    lifetimes.keep(norm.numbers);
    norms.put(layer.name(), norm);
    touch(in);
    touch(x);
    touch(norm.sums);
    BranchScale scale =
        shortcut != null && (attention != null || options.stochasticDepth() > 0)
            ? scale(norm, shortcut, attention)
            : null;
    Convolution convolution = laidOut(conv, in, x, null);
    int stage = stages.size();
    var passes = new ArrayList<>(pending);
    var prepare = new ArrayList<Job>();
    prepare.add(worker -> {
      for (int c = share(worker, x.channels); c < share(worker + 1, x.channels); c++) {
        frame.arena()[norm.number(c, TrainedNorm.PIVOT)] = norm.runningMean[c];
        frame.arena()[norm.number(c, TrainedNorm.C)] = 1;
      }
    });
    if (scale != null) {
      prepare.add(worker -> {
        if (worker == 0) {
          scale.begin();
        }
      });
    }
    int atOnce = imagesAtOnce(in, x, conv);
    Winograd form = convolution.isWinograd() ? choice.winograd(convolution, atOnce, 1) : null;
    if (form == null) {
      in.needBorder(conv.padding(), conv.padding());
      var step = new DirectConv[1];
      whenPlaced.add(() ->
          step[0] =
              new DirectConv(laidOut(conv, in, x, null), placed(in, x, null), own.direct, kernels));
      passes.add((_, first, n) -> step[0].run(frame, first, n, 0, 0, 1));
    } else {
      in.needBorder(Border.of(form, in.height, in.width));
      passes.add(winograd(conv, in, x, false, form, atOnce, stage, prepare, own, null));
    }
    if (!options.frozenStatistics() || attention != null) {
      var moments = new NormKernels.Moments[1];
      whenPlaced.add(() -> moments[0] = kernels.norm().moments(x.asPlane()));
      passes.add((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          norm.clearSums(frame.arena(), i);
          for (int b = 0; b < x.blocks(); b++) {
            moments[0].run(
                frame.memory(), at(x, i, b), norm.numbers(b, TrainedNorm.PIVOT), norm.sums(i, b));
          }
        }
      });
    }
    Job finish =
        worker ->
            norm.finish(
                frame.arena(),
                weights.values(),
                count,
                share(worker, x.channels),
                share(worker + 1, x.channels));
    stages.add(new Stage(conv.name(), prepare, passes, atOnce, List.of(finish)));
    pending = new ArrayList<>();

    boolean learns =
        !options.frozen().contains(conv.weight().name())
            || !options.frozen().contains(layer.name() + ".weight")
            || !options.frozen().contains(layer.name() + ".bias")
            || (attention != null
                && attention.parameters().stream()
                    .anyMatch(parameter -> !options.frozen().contains(parameter.name())));
    boolean inputNeeds = needs.getOrDefault(in, false);
    Draft y = activated ? activation(x.channels, x.height, x.width, block) : null;
    boolean shortcutNeeds = shortcut != null && needs.getOrDefault(shortcut.residual, false);
    needs.put(y == null ? x : y, learns || inputNeeds || shortcutNeeds);
    if (shortcut != null && shortcut.pad != null && needs.getOrDefault(shortcut.in, false)) {
      needs.put(y, true);
    }
    tape.add(new Unit(own, norm, in, x, y, shortcut, scale, learns, inputNeeds));
    if (y != null) {
      normalize(norm, x, y, shortcut, scale);
    }
    return y == null ? x : y;
  }

  private BranchScale scale(
      TrainedNorm norm, Shortcut shortcut, @Nullable ChannelAttention attention) {
    Gates gates = attention == null ? null : Gates.of(attention, weights.values(), layout::from);
    var scale = new BranchScale(norm, shortcut.norm, gates, weights.values(), batch);
    scales.add(scale);
    return scale;
  }

  private int share(int worker, int of) {
    return (int) ((long) of * worker / threads);
  }

  /** Adds the pass that turns x into {@code relu(norm(x) + shortcut)} to the next stage. */
  private void normalize(
      TrainedNorm norm,
      Draft x,
      Draft y,
      @Nullable Shortcut shortcut,
      @Nullable BranchScale scale) {
    int stage = stages.size();
    lifetimes.touch(x, stage);
    lifetimes.touch(y, stage);
    if (scale != null) {
      touch(scale.numbers);
      touch(norm.sums);
    }
    if (shortcut != null) {
      lifetimes.touch(shortcut.residual, stage);
      if (shortcut.norm instanceof TrainedNorm other) {
        // Both are sums: x a + b + s c + d. The bias of both comes together here.
        Stage last = stages.getLast();
        var finish = new ArrayList<>(last.finish);
        finish.add(worker -> {
          float[] arena = frame.arena();
          for (int c = share(worker, x.channels); c < share(worker + 1, x.channels); c++) {
            arena[norm.number(c, TrainedNorm.C)] = arena[other.number(c, TrainedNorm.A)];
            arena[norm.number(c, TrainedNorm.B)] += arena[other.number(c, TrainedNorm.B)];
          }
        });
        stages.set(
            stages.size() - 1,
            new Stage(last.name, last.prepare, last.passes, last.imagesAtOnce, finish));
      }
    }
    Draft s = shortcut == null ? null : shortcut.residual;
    var kernel = new NormKernels.Normalize[1];
    whenPlaced.add(() ->
        kernel[0] =
            kernels.norm().normalize(x.asPlane(), s == null ? null : s.asPlane(), y.asPlane()));
    pending.add((_, first, n) -> {
      for (int i = first; i < first + n; i++) {
        y.clearBorder(frame.arena(), i);
        if (scale != null) {
          scale.open(frame.arena(), i);
        }
        for (int b = 0; b < x.blocks(); b++) {
          kernel[0].run(
              frame.memory(),
              at(x, i, b),
              scale == null ? norm.numbers(b, TrainedNorm.A) : scale.forward(i, b),
              s == null ? 0 : at(s, i, b),
              at(y, i, b));
        }
      }
    });
  }

  private static int at(Draft a, int image, int b) {
    return a.image(image) + b * a.plane() + a.pixel(0, 0);
  }

  private Draft pool(MaxPool2d pool, Draft in) {
    Draft out = result(pool, in, in.channels);
    in.needBorder(pool.padding(), pool.padding());
    return pool(
        pool, in, out, () -> new PoolSteps.MaxPool(pool, in.placed(), out.placed(), kernels));
  }

  private Draft pool(AvgPool2d pool, Draft in) {
    Draft out = result(pool, in, in.channels);
    return pool(
        pool,
        in,
        out,
        () -> new PoolSteps.AverageWindows(pool, in.placed(), out.placed(), kernels));
  }

  private Draft pool(BlurPool2d pool, Draft in) {
    Draft out = result(pool, in, in.channels);
    return pool(pool, in, out, () -> new PoolSteps.Blur(pool, in.placed(), out.placed()));
  }

  private Draft pool(Layer pool, Draft in, Draft out, Supplier<Step> placed) {
    var step = new Step[1];
    whenPlaced.add(() -> step[0] = placed.get());
    touch(in);
    touch(out);
    needs.put(out, needs.getOrDefault(in, false));
    pending.add((_, first, n) -> step[0].run(frame, first, n, 0, 0, 1));
    tape.add(new Pooled(pool, in, out));
    return out;
  }

  /** As many images at a time as share the weights while activations stay near. */
  private int imagesAtOnce(Draft in, Draft out, Conv2d conv) {
    long weightBytes =
        4L * conv.outChannels() * conv.inChannels() / conv.groups() * conv.kernel() * conv.kernel();
    long each = 4L * (in.channels * in.height * in.width + out.channels * out.height * out.width);
    int share = Math.max(1, batch / threads);
    return (int) Math.clamp(weightBytes / each, 1, Math.min(8, share));
  }

  /**
   * A convolution by Winograd's algorithm, whose weights are transformed before the stage.
   *
   * @param turned prepares the weights of a gradient, or null in the forward pass
   */
  private Pass winograd(
      Conv2d layer,
      Draft in,
      Draft out,
      boolean add,
      Winograd form,
      int atOnce,
      int stage,
      List<Job> prepare,
      ConvWeights own,
      @Nullable InputGradient turned) {
    var steps = new WinogradConv[threads];
    int inputs = in.paddedChannels();
    int outputs = out.paddedChannels();
    int wide = Math.min(block, kernels.mostVectors() * kernels.lanes());
    int step = inputs * outputs;
    int zerosAt = ArenaPlanner.ALIGNMENT + form.products() * step;
    int turnedAt = zerosAt + 2 * outputs;
    needScratch(turnedAt + (turned == null ? 0 : turned.scratchSize()));
    var transforms = new WinogradWeights[threads];
    for (int t = 0; t < threads; t++) {
      transforms[t] = new WinogradWeights(form, MOST_CHANNELS);
    }
    var rooms = new Draft[threads];
    whenScratched.add(() -> {
      Convolution conv = laidOut(layer, in, out, add ? out : null);
      int words = WinogradBands.of(conv, form, atOnce, 1, kernels).room(conv);
      for (int t = 0; t < threads; t++) {
        rooms[t] = new Draft(1, 1, words, 1);
        lifetimes.touch(rooms[t], stage);
      }
    });
    whenPlaced.add(() -> {
      Convolution conv = laidOut(layer, in, out, add ? out : null);
      WinogradBands bands = WinogradBands.of(conv, form, atOnce, 1, kernels);
      var packed =
          new WinogradConv.Weights(scratch, wide, ArenaPlanner.ALIGNMENT, zerosAt, zerosAt);
      for (int t = 0; t < threads; t++) {
        steps[t] =
            new WinogradConv(
                conv, bands, placed(in, out, add ? out : null), rooms[t].offset(), packed, kernels);
      }
    });
    int rows = turned == null ? own.direct.channels() : turned.channels();
    int run = turned == null ? own.direct.run() : turned.run();
    prepare.add(worker -> {
      if (worker == 0) {
        Arrays.fill(scratch.values(), zerosAt, zerosAt + 2 * outputs, 0);
      }
      for (int b = worker; b < outputs / rows; b += threads) {
        Floats from = turned == null ? weights : scratch;
        int at = turned == null ? own.direct.at()[b] : turned.at(turnedAt, b);
        if (turned != null) {
          turned.prepare(scratch, turnedAt, b);
        }
        for (int c = 0; c < inputs; c++) {
          int row = at + (c / run * 9 * run + c % run) * rows;
          int o = b * rows;
          int to = ArenaPlanner.ALIGNMENT + (o / wide * inputs + c) * wide + o % wide;
          transforms[worker].transform(from.values(), row, run * rows, rows, scratch, to, step);
        }
      }
    });
    return (worker, first, n) -> steps[worker].run(frame, first, n, 0, 0, 1);
  }

  private void needScratch(int floats) {
    scratchSize = Math.max(scratchSize, floats);
  }

  // --- loss and backward ------------------------------------------------------------------------

  private void headStages(Draft last, Draft pooled) {
    int stage = stages.size();
    lifetimes.touch(last, stage);
    lifetimes.touch(pooled, stage);
    var passes = new ArrayList<>(pending);
    var average = new PoolKernels.Average[1];
    whenPlaced.add(() -> average[0] = kernels.pool().average(last.asPlane()));
    passes.add((_, first, n) -> {
      for (int i = first; i < first + n; i++) {
        for (int b = 0; b < last.blocks(); b++) {
          average[0].run(frame.memory(), at(last, i, b), at(pooled, 0, b) + i * block);
        }
      }
    });
    List<Job> clear =
        List.of(worker -> {
          for (int b = share(worker, pooled.blocks());
              b < share(worker + 1, pooled.blocks());
              b++) {
            int end = at(pooled, 0, b) + batch * block;
            Arrays.fill(frame.arena(), at(pooled, 0, b) + count * block, end, 0);
          }
        });
    stages.add(new Stage("average", List.of(), passes, 1, clear));
    ConvWeights own = layout.convolution(head.name());
    var step = new DirectConv[1];
    whenPlaced.add(() ->
        step[0] =
            new DirectConv(
                laidOut(own.layer, pooled, loss.logits, null),
                placed(pooled, loss.logits, null),
                own.direct,
                kernels));
    touch(pooled);
    touch(loss.logits);
    stages.add(
        new Stage(
            head.name(),
            List.of(worker -> step[0].run(frame, 0, 1, 0, worker, threads)),
            List.of(),
            1,
            List.of()));
    touch(loss.logits);
    touch(loss.gradient);
    stages.add(
        new Stage(
            "loss",
            List.of(),
            List.of((_, first, n) -> loss.run(frame.arena(), first, n)),
            1,
            List.of(worker -> {
              if (worker == 0) {
                loss.clearRest(frame.arena());
              }
            })));

    // Gradients of the head: of its weights and bias, then of its input.
    lifetimes.touch(loss.logits, Integer.MAX_VALUE); // for who wants to know how many were right
    touch(pooled);
    touch(loss.gradient);
    var weightGradient = new WeightGradient[1];
    whenPlaced.add(() ->
        weightGradient[0] =
            new WeightGradient(
                own, pooled.placed(), loss.gradient.placed(), zeros.offset(), kernels));
    boolean deeper = needs.getOrDefault(last, false);
    Draft g = gradientLike(last);
    var pooledGradient = activation(pooled.channels, 1, batch, block, 1);
    var inputGradient = new InputGradient[1];
    var prepare = new ArrayList<Job>();
    prepare.add(worker -> {
      if (!options.frozen().contains(head.weight().name())) {
        int blocks = weightGradient[0].blocks();
        weightGradient[0].run(
            frame.memory(),
            gradientParts.get(worker).offset(),
            0,
            1,
            share(worker, blocks),
            share(worker + 1, blocks));
      }
      if (worker == 0) {
        loss.addBiasGradient(frame.arena(), gradientsAt() + layout.from(head.bias().name()));
      }
    });
    if (deeper) {
      touch(pooledGradient);
      whenSettled.add(() -> {
        inputGradient[0] =
            new InputGradient(own, loss.gradient.layout(), pooledGradient.layout(), false, kernels);
        needScratch(InputGradient.START + inputGradient[0].scratchSize());
      });
      prepare.add(worker -> {
        for (int b = worker; b < inputGradient[0].parts(); b += threads) {
          inputGradient[0].prepare(scratch, InputGradient.START, b);
        }
      });
    }
    stages.add(new Stage(head.name() + " gradient", prepare, List.of(), 1, List.of()));
    if (!deeper) {
      return;
    }
    touch(pooledGradient);
    stages.add(
        new Stage(
            head.name() + " input gradient",
            List.of(),
            List.of(),
            1,
            List.of(worker -> {
              if (worker == 0) {
                inputGradient[0].run(
                    frame.memory(), scratch, loss.gradient.placed(), pooledGradient.placed(), 0, 1);
              }
            })));
    touch(pooledGradient);
    touch(g);
    pending = new ArrayList<>();
    pending.add((_, first, n) -> {
      for (int i = first; i < first + n; i++) {
        for (int b = 0; b < g.blocks(); b++) {
          PoolGradients.spreadAll(frame.arena(), at(pooledGradient, 0, b) + i * block, g, i, b);
        }
      }
    });
    backward(last, g);
  }

  private Draft gradientLike(Draft y) {
    return activation(y.channels, y.height, y.width, block);
  }

  /** Walks the tape back; {@code g} is the gradient of what the network's body ends with. */
  private void backward(Draft last, Draft g) {
    gradients.put(last, g);
    masks(last, g);
    closeStage("first sums", 1, new ArrayList<>());
    for (int i = tape.size() - 1; i >= 0; i--) {
      switch (tape.get(i)) {
        case Unit unit when needs.getOrDefault(unit.result(), false) -> {
          boolean first =
              tape.subList(0, i).stream()
                  .noneMatch(
                      entry -> entry instanceof Unit other && source(other.in) == source(unit.in));
          unit(unit, first);
        }
        default -> {}
      }
    }
  }

  /** The gradient passes of one unit, from the gradient of its result to that of its input. */
  private void unit(Unit unit, boolean completes) {
    TrainedNorm norm = unit.norm;
    Conv2d layer = unit.weights.layer;
    Shortcut shortcut = unit.shortcut;
    boolean sums = shortcut != null;
    boolean projection = unit.y == null;
    Draft g = known(gradients, unit.result());
    // A block's gradient is still needed for its shortcut; else the new one takes its place.
    Draft dx = sums || projection ? gradientLike(unit.x) : g;
    int atOnce = imagesAtOnce(unit.in, unit.x, layer);
    var prepare = new ArrayList<Job>();
    touch(g);
    touch(dx);
    touch(unit.x);
    BranchScale scale = unit.scale;
    if (scale != null) {
      touch(scale.numbers);
    }
    var kernel = new NormKernels.Gradient[1];
    whenPlaced.add(() ->
        kernel[0] =
            kernels
                .norm()
                .gradient(!sums && !projection, g.asPlane(), unit.x.asPlane(), dx.asPlane()));
    pending.add((_, first, n) -> {
      for (int i = first; i < first + n; i++) {
        dx.clearBorder(frame.arena(), i);
        if (scale != null) {
          scale.openGradient(frame.arena(), i);
        }
        for (int b = 0; b < unit.x.blocks(); b++) {
          kernel[0].run(
              frame.memory(),
              at(g, i, b),
              at(unit.x, i, b),
              scale == null ? norm.numbers(b, TrainedNorm.P) : scale.backward(i, b),
              at(dx, i, b));
        }
      }
    });
    if (!options.frozen().contains(layer.weight().name())) {
      touch(unit.in);
      weightGradient(unit, dx, atOnce, prepare);
    }
    if (shortcut != null && shortcut.norm != null) {
      gradients.put(shortcut.residual, g);
    }
    if (unit.inputNeeds) {
      if (shortcut != null && shortcut.norm == null && shortcut.pad == null) {
        gradients.put(shortcut.in, g); // in an Identity Block the input's gradient is added to it
      }
      boolean add = gradients.containsKey(unit.in);
      Draft to = gradients.computeIfAbsent(unit.in, this::gradientLike);
      touch(to);
      inputGradient(unit, dx, to, add, atOnce, prepare);
      if (shortcut != null && shortcut.pad != null) {
        padGradients.put(shortcut.in, new Padded(shortcut.pad, g));
      }
      if (averages.get(unit.in) instanceof Averaged(AvgPool2d pool, Draft before)) {
        Draft sum = known(gradients, before); // the main branch's, which came first
        touch(sum);
        pending.add((_, first, n) -> {
          for (int i = first; i < first + n; i++) {
            PoolGradients.addAveraged(frame.arena(), pool, to, sum, i);
          }
        });
        if (completes) {
          masks(before, sum);
        }
      } else if (completes) {
        if (padGradients.remove(unit.in) instanceof Padded(SubsampleAndPad pad, Draft from)) {
          touch(from);
          pending.add((_, first, n) -> {
            for (int i = first; i < first + n; i++) {
              PoolGradients.addSubsampled(frame.arena(), pad, from, to, i);
            }
          });
        }
        masks(unit.in, to);
      }
    }
    closeStage(layer.name() + " gradient", atOnce, prepare);
  }

  private void weightGradient(Unit unit, Draft dx, int atOnce, List<Job> prepare) {
    Convolution conv = laidOut(unit.weights.layer, unit.in, dx, null);
    Winograd form = conv.isWinograd() ? choice.winograd(conv, atOnce, 1) : null;
    if (form != null
        && WinogradWeightGradient.pays(
            unit.in.layout(), dx.layout(), form, Math.ceilDiv(batch, threads))) {
      unit.in.needBorder(Border.of(form, unit.in.height, unit.in.width));
      dx.needBorder(Border.of(form, dx.height, dx.width));
      var rooms = new ArrayList<Draft>();
      for (int t = 0; t < threads; t++) {
        rooms.add(
            new Draft(
                1, 1, WinogradWeightGradient.room(unit.in.layout(), dx.layout(), form, atOnce), 1));
        touch(rooms.getLast());
      }
      var steps = new WinogradWeightGradient[threads];
      whenPlaced.add(() ->
          Arrays.setAll(
              steps,
              t ->
                  new WinogradWeightGradient(
                      unit.weights,
                      unit.in.placed(),
                      dx.placed(),
                      form,
                      atOnce,
                      rooms.get(t).offset(),
                      zeros.offset(),
                      kernels)));
      prepare.add(worker -> steps[worker].clear(frame.arena()));
      pending.add((worker, first, n) -> steps[worker].run(frame.memory(), first, n));
      finishes.add(
          worker -> steps[worker].finish(frame.arena(), gradientParts.get(worker).offset()));
      return;
    }
    var step = new WeightGradient[1];
    whenPlaced.add(() ->
        step[0] =
            new WeightGradient(
                unit.weights, unit.in.placed(), dx.placed(), zeros.offset(), kernels));
    pending.add((worker, first, n) ->
        step[0].run(
            frame.memory(), gradientParts.get(worker).offset(), first, n, 0, step[0].blocks()));
    if (unit.weights.layer.groups() > 1) {
      toMask.add(() -> step[0].clearBetweenGroups(frame.arena(), gradientsAt()));
    }
  }

  private List<Job> finishes = new ArrayList<>();

  private void closeStage(String name, int atOnce, List<Job> prepare) {
    stages.add(new Stage(name, prepare, pending, atOnce, finishes));
    pending = new ArrayList<>();
    finishes = new ArrayList<>();
  }

  private void inputGradient(
      Unit unit, Draft dx, Draft to, boolean add, int atOnce, List<Job> prepare) {
    Conv2d layer = unit.weights.layer;
    var turned =
        new Conv2d(
            layer.name(),
            layer.outChannels(),
            layer.inChannels(),
            layer.kernel(),
            layer.stride(),
            layer.dilation() * (layer.kernel() - 1) - layer.padding(),
            layer.dilation(),
            layer.groups());
    Convolution conv = laidOut(turned, dx, to, add ? to : null);
    Winograd form = conv.isWinograd() ? choice.winograd(conv, atOnce, 1) : null;
    int stage = stages.size();
    if (form != null) {
      dx.needBorder(Border.of(form, dx.height, dx.width));
      var weightsOnly = new InputGradient(unit.weights, dx.layout(), to.layout(), add, kernels);
      pending.add(
          winograd(turned, dx, to, add, form, atOnce, stage, prepare, unit.weights, weightsOnly));
      return;
    }
    dx.needBorder(InputGradient.border(layer, dx.layout(), to.layout()));
    var step = new InputGradient[1];
    whenSettled.add(() -> {
      step[0] = new InputGradient(unit.weights, dx.layout(), to.layout(), add, kernels);
      needScratch(InputGradient.START + step[0].scratchSize());
    });
    prepare.add(worker -> {
      for (int b = worker; b < step[0].parts(); b += threads) {
        step[0].prepare(scratch, InputGradient.START, b);
      }
    });
    pending.add(
        (_, first, n) -> step[0].run(frame.memory(), scratch, dx.placed(), to.placed(), first, n));
  }

  /**
   * The gradient of an activation is complete: takes it back through its ReLU (and pooling before)
   * and sums it for batch norm.
   */
  private void masks(Draft y, Draft g) {
    for (Object entry : tape) {
      if (entry instanceof Pooled pooled
          && pooled.out == y
          && needs.getOrDefault(pooled.in, false)) {
        Draft before = gradientLike(pooled.in);
        touch(before);
        touch(g);
        switch (pooled.layer) {
          case MaxPool2d pool -> {
            before.needBorder(pool.padding(), pool.padding());
            touch(pooled.in);
            touch(y);
            var windows = new PoolKernels.Windows(pool.kernel(), pool.stride());
            var kernel = new PoolKernels.MaxGradientRow[1];
            whenPlaced.add(() ->
                kernel[0] =
                    kernels
                        .pool()
                        .maxGradient(windows, pooled.in.asPlane(), y.asPlane(), before.asPlane()));
            pending.add(
                (_, first, n) -> poolGradient(kernel[0], pool, pooled, g, before, first, n));
          }
          case BlurPool2d pool ->
              pending.add((_, first, n) -> {
                clear(before, first, n);
                for (int i = first; i < first + n; i++) {
                  PoolGradients.addBlurred(frame.arena(), pool, g, before, i);
                }
              });
          default ->
              pending.add((_, first, n) -> {
                clear(before, first, n);
                for (int i = first; i < first + n; i++) {
                  PoolGradients.addAveraged(frame.arena(), (AvgPool2d) pooled.layer, g, before, i);
                }
              });
        }
        gradients.put(pooled.in, before);
        masks(pooled.in, before);
        return;
      }
      if (entry instanceof Unit unit && unit.y == y) {
        sumGradient(unit, y, g);
        return;
      }
    }
  }

  private void sumGradient(Unit unit, Draft y, Draft g) {
    TrainedNorm norm = unit.norm;
    Shortcut shortcut = unit.shortcut;
    boolean sums = shortcut != null;
    TrainedNorm other = shortcut == null ? null : shortcut.norm;
    touch(g);
    touch(unit.x);
    touch(y);
    touch(norm.sums);
    if (other != null) {
      touch(other.x);
      touch(other.sums);
    }
    BranchScale scale = unit.scale;
    if (scale != null) {
      touch(scale.numbers);
    }
    var masked = new NormKernels.GradientMoments[1];
    var ofShortcut = new NormKernels.GradientMoments[1];
    whenPlaced.add(() -> {
      masked[0] =
          kernels
              .norm()
              .gradientMoments(
                  sums ? NormKernels.Mask.OUTPUT : NormKernels.Mask.INPUT,
                  g.asPlane(),
                  unit.x.asPlane(),
                  y.asPlane());
      if (other != null) {
        ofShortcut[0] =
            kernels
                .norm()
                .gradientMoments(NormKernels.Mask.NONE, g.asPlane(), other.x.asPlane(), null);
      }
    });
    pending.add((worker, first, n) -> {
      for (int i = first; i < first + n; i++) {
        norm.clearSums(frame.arena(), i);
        if (other != null) {
          other.clearSums(frame.arena(), i);
        }
        for (int b = 0; b < unit.x.blocks(); b++) {
          masked[0].run(
              frame.memory(),
              at(g, i, b),
              at(unit.x, i, b),
              at(y, i, b),
              norm.numbers(b, TrainedNorm.MEAN),
              norm.sums(i, b));
          if (other != null) {
            ofShortcut[0].run(
                frame.memory(),
                at(g, i, b),
                at(other.x, i, b),
                0,
                other.numbers(b, TrainedNorm.MEAN),
                other.sums(i, b));
          }
        }
        if (scale != null) {
          scale.close(frame.arena(), i, gradientParts.get(worker).offset());
        }
      }
    });
    finishes.add(worker -> finishGradient(norm, worker));
    if (other != null) {
      finishes.add(worker -> finishGradient(other, worker));
    }
  }

  private void finishGradient(TrainedNorm norm, int worker) {
    norm.finishGradient(
        frame.arena(),
        weights.values(),
        gradientsAt(),
        count,
        share(worker, norm.x.channels),
        share(worker + 1, norm.x.channels));
  }

  private void clear(Draft gradient, int first, int n) {
    for (int i = first; i < first + n; i++) {
      int from = gradient.image(i);
      Arrays.fill(frame.arena(), from, from + gradient.imageSize(), 0);
    }
  }

  private void poolGradient(
      PoolKernels.MaxGradientRow kernel,
      MaxPool2d pool,
      Pooled pooled,
      Draft g,
      Draft to,
      int first,
      int n) {
    clear(to, first, n);
    Draft in = pooled.in;
    Draft out = pooled.out;
    for (int i = first; i < first + n; i++) {
      for (int b = 0; b < in.blocks(); b++) {
        for (int y = 0; y < out.height; y++) {
          int row = y * pool.stride() - pool.padding();
          kernel.run(
              frame.memory(),
              in.image(i) + b * in.plane() + in.pixel(row, -pool.padding()),
              out.image(i) + b * out.plane() + out.pixel(y, 0),
              g.image(i) + b * g.plane() + g.pixel(y, 0),
              to.image(i) + b * to.plane() + to.pixel(row, -pool.padding()));
        }
      }
    }
  }

  // --- places -----------------------------------------------------------------------------------

  /**
   * Bytes of all arrays that the plan needs once {@link #place} was called, which must not come
   * after; {@link Long#MAX_VALUE} if one array cannot hold the activations.
   */
  long bytesNeeded() {
    try {
      whenSettled.forEach(Runnable::run);
      return 4L
          * ((long) lifetimes.place() + MOST_CHANNELS + weights.values().length + scratchSize);
    } catch (ArithmeticException e) {
      return Long.MAX_VALUE;
    }
  }

  /**
   * Gives everything a place, and makes the arrays.
   *
   * @throws IllegalArgumentException if one array cannot hold the activations
   */
  void place() {
    int end;
    try {
      end = placeActivations();
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "the activations of %d images of %d×%d need more than the 8 GB of one Java array: divide"
                  .formatted(batch, options.height(), options.width())
              + " the batch into micro-batches and accumulate their gradients",
          e);
    }
    frame.makeRoom(end + MOST_CHANNELS);
    whenPlaced.forEach(Runnable::run);
  }

  private int placeActivations() {
    whenSettled.forEach(Runnable::run);
    scratch = Floats.of(new float[scratchSize]);
    whenScratched.forEach(Runnable::run);
    return lifetimes.place();
  }

  /**
   * Fails where batch norm has but one value per channel, of which there is no variance.
   *
   * @param images of a batch
   * @throws IllegalArgumentException naming the layer
   */
  void checkBatch(int images) {
    if (images > 1 || options.frozenStatistics()) {
      return;
    }
    for (TrainedNorm norm : norms.values()) {
      if (norm.x.height * norm.x.width == 1) {
        throw new IllegalArgumentException(
            "batch norm '%s' expects more than 1 value per channel when training: there the maps of"
                    .formatted(norm.layer.name())
                + " an image of %d×%d are 1×1, and the micro-batch has 1 image"
                    .formatted(options.height(), options.width()));
      }
    }
  }

  // --- running ----------------------------------------------------------------------------------

  /**
   * Leaves out branches of the next batch at random, later blocks more often (arXiv 1603.09382,
   * equation 4).
   */
  void dropBranches(SplittableRandom random) {
    for (int b = 0; b < scales.size(); b++) {
      double rate = options.stochasticDepth() * b / Math.max(1, scales.size() - 1);
      for (int n = 0; n < batch; n++) {
        boolean kept = random.nextDouble() >= rate;
        scales.get(b).keep(n, kept ? (float) (1 / (1 - rate)) : 0);
      }
    }
  }

  void set(float[] images, float[] probabilities, int imageCount, float factor) {
    frame.input = images;
    count = imageCount;
    loss.set(probabilities, imageCount, factor);
  }

  /** A worker's part of a step. */
  void run(int worker, Workers workers) {
    if (worker > 0) {
      clear(gradientParts.get(worker));
    }
    int first = share(worker, count);
    int end = share(worker + 1, count);
    for (int s = 0; s < nanos.length; s++) {
      long start = System.nanoTime();
      Stage stage = stages.get(s);
      if (!stage.prepare.isEmpty()) {
        each(stage.prepare, worker);
        workers.meet();
      }
      for (int n = first; n < end; n += stage.imagesAtOnce) {
        for (int p = 0; p < stage.passes.size(); p++) {
          stage.passes.get(p).run(worker, n, Math.min(stage.imagesAtOnce, end - n));
        }
      }
      workers.meet();
      if (!stage.finish.isEmpty()) {
        each(stage.finish, worker);
        workers.meet();
      }
      if (worker == 0) {
        nanos[s] = System.nanoTime() - start;
      }
    }
    addParts(worker);
    workers.meet();
    if (worker == 0) {
      for (int i = 0; i < toMask.size(); i++) {
        toMask.get(i).run();
      }
    }
  }

  private static void each(List<Job> jobs, int worker) {
    for (int i = 0; i < jobs.size(); i++) {
      jobs.get(i).run(worker);
    }
  }

  /** Adds the gradients that the workers found to those of the first, each a range of them. */
  private void addParts(int worker) {
    float[] arena = frame.arena();
    int to = gradientsAt();
    for (int t = 1; t < threads; t++) {
      int from = gradientParts.get(t).offset();
      for (int i = share(worker, layout.size()); i < share(worker + 1, layout.size()); i++) {
        arena[to + i] += arena[from + i];
      }
    }
  }

  void clearGradients(int worker) {
    if (worker == 0) {
      clear(gradientParts.getFirst());
    }
  }

  private void clear(Draft part) {
    Arrays.fill(frame.arena(), part.offset(), part.offset() + part.size(), 0);
  }

  /** The mean over the images of the last run. */
  double loss() {
    return loss.mean();
  }

  void copyLogits(float[] to) {
    loss.copyLogits(frame.arena(), to);
  }

  void countBatches(long count) {
    norms.values().forEach(norm -> norm.batches += count);
  }

  List<float[]> statistics() {
    var all = new ArrayList<float[]>();
    for (TrainedNorm norm : norms.values()) {
      all.add(norm.runningMean);
      all.add(norm.runningVar);
    }
    return all;
  }

  ParameterArrays parameters() {
    return new ParameterArrays(layout, weights.values(), frame.arena(), gradientsAt());
  }

  private int gradientsAt() {
    return gradientParts.getFirst().offset();
  }

  long bytes() {
    return 4L * ((long) frame.arena().length + weights.values().length + scratch.values().length);
  }

  List<StepTime> times() {
    var times = new ArrayList<StepTime>();
    for (int s = 0; s < nanos.length; s++) {
      Stage stage = stages.get(s);
      times.add(
          new StepTime(
              stage.name, "", "", stage.imagesAtOnce, 0, nanos[s] / 1e9 / Math.max(1, count)));
    }
    return times;
  }

  // --- state ------------------------------------------------------------------------------------

  StateDict state() {
    var entries = new LinkedHashMap<String, Tensor>();
    StateDict trained = layout.toTensors(weights.values());
    for (Parameter parameter : network.parameters()) {
      String name = parameter.name();
      String owner = name.substring(0, name.lastIndexOf('.'));
      Tensor tensor =
          switch (parameter.role()) {
            case BUFFER -> {
              TrainedNorm norm = known(norms, owner);
              float[] values = name.endsWith("mean") ? norm.runningMean : norm.runningVar;
              yield Tensor.of(values.clone(), parameter.extents());
            }
            case COUNTER -> Tensor.filled(known(norms, owner).batches, parameter.extents());
            default -> trained.get(name);
          };
      entries.put(name, tensor);
    }
    return new StateDict(entries);
  }

  void load(StateDict state) {
    layout.fromTensors(state, weights.values());
    for (TrainedNorm norm : norms.values()) {
      copy(state, norm.layer.name() + ".running_mean", norm.runningMean);
      copy(state, norm.layer.name() + ".running_var", norm.runningVar);
      norm.batches = (long) state.get(norm.layer.name() + ".num_batches_tracked").data()[0];
    }
  }

  private static void copy(StateDict state, String name, float[] to) {
    System.arraycopy(state.get(name).data(), 0, to, 0, to.length);
  }
}
