package io.github.resnet4j;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import io.github.resnet4j.nn.Parameter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * The specification of a residual network. Everything else about a network, such as its layers,
 * parameter names and cost, is derived from this record.
 *
 * <p>{@link Architecture} has named specifications; {@link #toBuilder()} modifies them: {@code
 * Architecture.named("resnet50").toBuilder().numClasses(10).build()}.
 *
 * @param block the kind of residual block (arXiv 1512.03385, figure 5); with {@code widths}, that
 *     of the first block
 * @param blocks the number of blocks of each stage
 * @param channels the number of channels of the stem and of the first stage before expansion; each
 *     further stage doubles it (64 for ImageNet, 16 for CIFAR)
 * @param groups the number of groups of a bottleneck's 3×3 convolution, ResNeXt's cardinality
 *     (arXiv 1611.05431)
 * @param widthPerGroup scales a bottleneck's inner width: {@code int(channels · widthPerGroup / 64)
 *     · groups}; 128 with one group is Wide ResNet (arXiv 1605.07146)
 * @param widths for each stage, the numbers of channels of its convolutions where {@code channels}
 *     and {@code widthPerGroup} do not give them (a pruned network); empty if they do
 * @param stem the layers before the first stage
 * @param stridePlacement which convolution of a bottleneck has the stride
 * @param downsampling how the main branch reduces the size where it has a stride
 * @param shortcut the shortcut where stride or number of channels change
 * @param attention the channel attention before the addition
 * @param norm the normalization after every convolution
 * @param activation the order of norm, ReLU and convolution in a block
 * @param dilated for each stage after the first, whether it uses dilation instead of stride, as
 *     torchvision's {@code replace_stride_with_dilation} and timm's {@code output_stride}; basic
 *     blocks are dilated as in timm, since torchvision has no dilated basic blocks
 * @param inChannels the number of channels of the input image
 * @param head pooling and the linear layer; without it ({@code include_top=False} in Keras) the
 *     result is the last stage's feature map
 */
public record ResNetSpec(
    Block block,
    List<Integer> blocks,
    int channels,
    int groups,
    int widthPerGroup,
    List<StageWidths> widths,
    Stem stem,
    StridePlacement stridePlacement,
    Downsampling downsampling,
    Shortcut shortcut,
    Attention attention,
    Norm norm,
    Activation activation,
    List<Boolean> dilated,
    int inChannels,
    Optional<Head> head) {

  /** The kind of residual block. */
  public enum Block {
    /** Two 3×3 convolutions. */
    BASIC(1),
    /** 1×1 down, 3×3, 1×1 up. */
    BOTTLENECK(4);

    /** The number of a block's output channels divided by {@code channels}. */
    public final int expansion;

    Block(int expansion) {
      this.expansion = expansion;
    }
  }

  /** The order of norm, ReLU and convolution in a block. */
  public enum Activation {
    /** Convolution, norm, ReLU; the last ReLU after the addition (arXiv 1512.03385). */
    POST,
    /**
     * Norm, ReLU, convolution; nothing after the addition, so that an input passes through all
     * blocks of a stage unchanged (ResNetV2, arXiv 1603.05027). Layers have the names of timm's
     * {@code resnetv2.py}.
     */
    PRE
  }

  /** Which convolution of a bottleneck has the stride. */
  public enum StridePlacement {
    /** The first 1×1, as in the paper ("v1"). */
    FIRST_1X1,
    /** The 3×3, as torchvision and most published weights ("v1.5"). */
    ON_3X3
  }

  /** How the main branch reduces the size, and the stem after its convolutions. */
  public enum Downsampling {
    /** The stride of a convolution; in the stem that of max pooling. */
    STRIDE,
    /**
     * The 3×3 convolution without stride and, after its ReLU, a low-pass filter with stride 2,
     * which reduces the effect of shifting the image by a pixel (arXiv 1904.11486, section 3.2); in
     * the stem the same after max pooling without stride.
     */
    BLUR,
    /**
     * The 3×3 convolution without stride and, after its ReLU, the mean of 2×2 pixels; in the stem
     * only the mean.
     */
    AVERAGE
  }

  /** The shortcut where stride or number of channels change. */
  public enum Shortcut {
    /** Option A: subsampling, with zeros for the added channels; no parameters. */
    ZERO_PAD,
    /** Option B: a 1×1 convolution with a norm. */
    PROJECTION,
    /**
     * A 3×3 convolution with a norm where the stride is 2, and a 1×1 convolution elsewhere:
     * SENet-154 (arXiv 1709.01507, section 6.3).
     */
    PROJECTION_3X3,
    /**
     * ResNet-D: the mean of 2×2 pixels if the stride is 2, then a 1×1 convolution with a norm (Bag
     * of Tricks, arXiv 1812.01187, figure 2c), so that every pixel is used.
     */
    AVERAGE_POOL,
    /** No block has a shortcut: the paper's plain networks (section 3.3), for comparison. */
    NONE
  }

  /**
   * The numbers of channels of a stage's convolutions.
   *
   * @param out the number of output channels of every block
   * @param inner for each block, the number of output channels of its convolutions before the last:
   *     one number for a basic block, two for a bottleneck
   */
  public record StageWidths(int out, List<List<Integer>> inner) {
    public StageWidths {
      inner = inner.stream().map(List::copyOf).toList();
    }
  }

  /**
   * Global average pooling, whose result is an image's embedding, and a linear layer.
   *
   * @param numClasses the number of logits
   */
  public record Head(int numClasses) {
    private List<Layer> layers(int channels, Activation activation) {
      return List.of(
          AVERAGE_POOL,
          activation == Activation.PRE
              ? new Linear("head.fc", channels, numClasses, true)
              : new Linear("fc", channels, numClasses));
    }
  }

  /** The first layer of the head, whose result is an image's embedding. */
  static final GlobalAveragePool AVERAGE_POOL = new GlobalAveragePool("avgpool");

  private static final int MAX_STAGES = 8;
  private static final int MAX_BLOCKS = 1024;
  private static final int MAX_CHANNELS = 1 << 20;

  /**
   * @throws IllegalArgumentException naming the field and its valid values
   */
  public ResNetSpec {
    blocks = List.copyOf(blocks);
    widths = List.copyOf(widths);
    dilated = List.copyOf(dilated);
    check(
        !blocks.isEmpty()
            && blocks.size() <= MAX_STAGES
            && blocks.stream().allMatch(b -> b >= 1 && b <= MAX_BLOCKS),
        "blocks",
        blocks,
        "1 to " + MAX_STAGES + " stages of 1 to " + MAX_BLOCKS + " blocks");
    check(range(channels), "channels", channels, "1 to " + MAX_CHANNELS);
    check(range(groups), "groups", groups, "1 to " + MAX_CHANNELS);
    check(range(widthPerGroup), "widthPerGroup", widthPerGroup, "1 to " + MAX_CHANNELS);
    check(range(inChannels), "inChannels", inChannels, "1 to " + MAX_CHANNELS);
    head.ifPresent(
        top -> check(range(top.numClasses), "numClasses", top.numClasses, "1 to " + MAX_CHANNELS));
    check(
        dilated.size() == blocks.size() - 1,
        "dilated",
        dilated,
        "one value for each stage after the first, here " + (blocks.size() - 1));
    check(
        stem.widths(channels).stream().allMatch(ResNetSpec::range),
        "stem",
        stem,
        "of convolutions with 1 to " + MAX_CHANNELS + " channels");
    check(
        downsampling == Downsampling.STRIDE
            || (stridePlacement == StridePlacement.ON_3X3 && stem.pools()),
        "downsampling",
        downsampling,
        "STRIDE with strides on the first 1×1 and with a stem that does not pool");
    check(
        attention.equals(Attention.NONE) || shortcut != Shortcut.NONE,
        "attention",
        attention,
        "none in a plain network");
    if (block == Block.BASIC) {
      check(groups == 1, "groups", groups, "1 for basic blocks");
      check(widthPerGroup == 64, "widthPerGroup", widthPerGroup, "64 for basic blocks");
    } else {
      check(
          channels * (long) widthPerGroup / 64 >= 1,
          "widthPerGroup",
          widthPerGroup,
          "at least 64 / channels, so that the inner width is not 0");
    }
    check(
        widest(block, blocks.size(), channels, groups, widthPerGroup) <= MAX_CHANNELS,
        "channels",
        channels,
        "such that no layer is wider than " + MAX_CHANNELS);
    if (!widths.isEmpty()) {
      check(
          widths.stream().map(stage -> stage.inner.size()).toList().equals(blocks)
              && widths.stream().allMatch(stage -> isValid(stage, groups)),
          "widths",
          widths,
          "one for each stage and block, 1 to %d, those of 3×3 convolutions multiples of groups"
              .formatted(MAX_CHANNELS));
      check(widthPerGroup == 64, "widthPerGroup", widthPerGroup, "64 with widths");
      check(
          widths.getFirst().inner.getFirst().size() == (block == Block.BASIC ? 1 : 2),
          "block",
          block,
          "the kind of the first block of widths");
      check(norm.equals(Norm.BATCH), "widths", widths, "empty with group norm");
      check(
          shortcut != Shortcut.ZERO_PAD && shortcut != Shortcut.NONE,
          "shortcut",
          shortcut,
          "a projection with widths");
    }
    if (activation == Activation.PRE) {
      check(
          widths.isEmpty()
              && attention.equals(Attention.NONE)
              && downsampling == Downsampling.STRIDE
              && (shortcut == Shortcut.PROJECTION || shortcut == Shortcut.AVERAGE_POOL)
              && (stem.pools() || stem instanceof Stem.SmallImage),
          "activation",
          activation,
          "POST with widths, attention, blurs, other shortcuts than projections, or a stem with a"
              + " strided convolution instead of pooling");
    }
    if (norm.channelGroups().isPresent()) {
      int parts = norm.channelGroups().getAsInt();
      check(
          normalizedChannels(block, blocks.size(), channels, groups, widthPerGroup, stem)
              .allMatch(width -> width % parts == 0),
          "norm",
          norm,
          "of groups that divide the channels of every convolution");
      check(
          attention.equals(Attention.NONE),
          "attention",
          attention,
          "none in networks of group norm");
    }
  }

  private static boolean isValid(StageWidths stage, int groups) {
    return range(stage.out)
        && stage.inner.stream()
            .allMatch(inner ->
                (inner.size() == 1 || inner.size() == 2 && inner.getLast() % groups == 0)
                    && inner.stream().allMatch(ResNetSpec::range));
  }

  /** The numbers of channels of the network's convolutions. */
  private static LongStream normalizedChannels(
      Block block, int stages, int channels, int groups, int widthPerGroup, Stem stem) {
    return LongStream.concat(
        stem.widths(channels).stream().mapToLong(Integer::longValue),
        IntStream.range(0, stages)
            .mapToLong(stage -> (long) channels << stage)
            .flatMap(planes ->
                block == Block.BASIC
                    ? LongStream.of(planes)
                    : LongStream.of(
                        innerWidth(planes, widthPerGroup, groups), planes * block.expansion)));
  }

  private static boolean range(int value) {
    return value >= 1 && value <= MAX_CHANNELS;
  }

  private static long widest(Block block, int stages, int channels, int groups, int widthPerGroup) {
    long planes = (long) channels << (stages - 1);
    return Math.max(planes * block.expansion, innerWidth(planes, widthPerGroup, groups));
  }

  /**
   * The number of channels of a bottleneck's 3×3 convolution (torchvision's {@code
   * Bottleneck.__init__}).
   */
  private static long innerWidth(long planes, int widthPerGroup, int groups) {
    return Math.max(1, planes * widthPerGroup / 64) * groups;
  }

  private static void check(boolean legal, String field, Object value, String legalValues) {
    if (!legal) {
      throw new IllegalArgumentException(
          "%s must be %s, was %s".formatted(field, legalValues, value));
    }
  }

  /** A builder with ImageNet's defaults: 3 input channels, 1000 classes, v1.5 strides. */
  public static Builder builder(Block block, Integer... blocks) {
    return new Builder(block, List.of(blocks));
  }

  /** A builder that starts from this specification. */
  public Builder toBuilder() {
    var builder = new Builder(block, blocks);
    builder.channels = channels;
    builder.groups = groups;
    builder.widthPerGroup = widthPerGroup;
    builder.widths = widths;
    builder.stem = stem;
    builder.stridePlacement = stridePlacement;
    builder.downsampling = downsampling;
    builder.shortcut = shortcut;
    builder.attention = attention;
    builder.norm = norm;
    builder.activation = activation;
    builder.dilated = dilated;
    builder.inChannels = inChannels;
    builder.numClasses = head.map(Head::numClasses).orElse(builder.numClasses);
    builder.includeTop = includeTop();
    return builder;
  }

  /** Whether the network has a head, so that its result is logits. */
  public boolean includeTop() {
    return head.isPresent();
  }

  /** The number of logits; 0 without a head. */
  public int numClasses() {
    return head.map(Head::numClasses).orElse(0);
  }

  /**
   * The number of channels of the last stage's feature map, which is the length of an embedding.
   */
  public int featureChannels() {
    return outChannels(blocks.size() - 1);
  }

  /** The number of output channels of a stage's blocks. */
  int outChannels(int stage) {
    return widths.isEmpty() ? ruledChannels(stage) : widths.get(stage).out;
  }

  /** The same if no widths are given: twice as many in every stage. */
  private int ruledChannels(int stage) {
    return (channels << stage) * block.expansion;
  }

  /** The numbers of output channels of a block's convolutions before the last. */
  List<Integer> innerChannels(int stage, int index) {
    if (!widths.isEmpty()) {
      return widths.get(stage).inner.get(index);
    }
    int planes = channels << stage;
    if (block == Block.BASIC) {
      return List.of(planes);
    }
    int width = Math.toIntExact(innerWidth(planes, widthPerGroup, groups));
    return List.of(width, width);
  }

  /** The kinds of blocks that the network has, in the order of {@link Block}. */
  public List<Block> blockKinds() {
    return widths.isEmpty()
        ? List.of(block)
        : widths.stream()
            .flatMap(stage -> stage.inner.stream())
            .map(inner -> inner.size() == 1 ? Block.BASIC : Block.BOTTLENECK)
            .distinct()
            .sorted()
            .toList();
  }

  /** The name of the last stage's layer, {@code layer4} for a network on ImageNet's terms. */
  public String lastStage() {
    return stageName(blocks.size() - 1);
  }

  /** The name of a stage's layer, from 0. */
  private String stageName(int stage) {
    return activation == Activation.PRE ? "stages." + stage : "layer" + (stage + 1);
  }

  /** The name of a block, {@code layer2.0} or {@code stages.1.blocks.0}, both numbers from 0. */
  public String blockName(int stage, int index) {
    return stageName(stage) + (activation == Activation.PRE ? ".blocks." : ".") + index;
  }

  /** The factor by which the feature map is smaller than the image, along each axis. */
  public int outputStride() {
    return stages().getLast().stride;
  }

  /**
   * This network with another output stride: the last stages use dilation instead of stride, as
   * with timm's {@code output_stride}. Parameters and their names stay the same, so the weights of
   * the network fit; its feature maps get larger.
   *
   * @param outputStride the factor by which the last feature map is smaller than the image; 8, 16
   *     or 32 for a network with ImageNet's stem and four stages
   * @throws IllegalArgumentException naming the values that this network can have
   */
  public ResNetSpec withOutputStride(int outputStride) {
    var flags = new ArrayList<Boolean>();
    var possible = new ArrayList<Integer>();
    for (int stride = stem.stride(); possible.size() < blocks.size(); stride *= 2) {
      possible.add(stride);
      flags.add(stride >= outputStride);
    }
    check(possible.contains(outputStride), "outputStride", outputStride, "one of " + possible);
    return toBuilder().dilated(flags.subList(0, blocks.size() - 1)).build();
  }

  /**
   * A stage, as a decoder for segmentation or detection must know it (timm's {@code feature_info}).
   *
   * @param name the name of its layer, for {@link ResNet#featureMaps}
   * @param channels the number of channels of its result
   * @param stride the factor by which its result is smaller than the image, along each axis
   */
  public record Stage(String name, int channels, int stride) {}

  /** The stages, first to last. */
  public List<Stage> stages() {
    var stages = new ArrayList<Stage>();
    int stride = stem.stride();
    for (int stage = 0; stage < blocks.size(); stage++) {
      stride *= stage > 0 && !dilated.get(stage - 1) ? 2 : 1;
      stages.add(new Stage(stageName(stage), outChannels(stage), stride));
    }
    return stages;
  }

  /**
   * The number of trained parameters, without batch norm's statistics, as papers and PyTorch count
   * them.
   */
  public long parameterCount() {
    return layers().parameters().stream()
        .filter(p -> p.role() == Parameter.Role.TRAINED)
        .mapToLong(Parameter::size)
        .sum();
  }

  /** The layers of the network, with torchvision's names. */
  public Sequential layers() {
    var layers =
        new ArrayList<>(
            activation == Activation.PRE
                ? PreActivationLayers.stem(this)
                : stem.layers(inChannels, channels, downsampling, norm));
    int in = stem.widths(channels).getLast();
    int dilation = 1;
    for (int stage = 0; stage < blocks.size(); stage++) {
      int stride = stage == 0 ? 1 : 2;
      int firstDilation = dilation;
      if (stage > 0 && dilated.get(stage - 1)) {
        dilation *= stride;
        stride = 1;
      }
      String name = stageName(stage);
      var members = new ArrayList<Layer>();
      for (int i = 0; i < blocks.get(stage); i++) {
        String blockName = blockName(stage, i);
        int blockStride = i == 0 ? stride : 1;
        int blockDilation = i == 0 ? firstDilation : dilation;
        List<Integer> inner = innerChannels(stage, i);
        int out = outChannels(stage);
        if (activation == Activation.PRE) {
          boolean projects = i == 0 && (block == Block.BOTTLENECK || stride > 1 || in != out);
          members.add(
              PreActivationLayers.block(
                  this, blockName, in, inner, out, blockStride, blockDilation, dilation, projects));
          in = out;
          continue;
        }
        List<Layer> convolutions =
            convolutions(blockName, in, inner, out, blockStride, blockDilation, dilation);
        attention.layer(blockName + ".se", out, ruledChannels(stage)).ifPresent(convolutions::add);
        members.add(
            shortcut == Shortcut.NONE
                ? plain(blockName, convolutions)
                : new Residual(
                    blockName,
                    new Sequential(blockName, convolutions),
                    shortcut(blockName, in, out, blockStride, blockDilation, dilation)));
        in = out;
      }
      layers.add(new Sequential(name, members));
    }
    if (activation == Activation.PRE) {
      layers.add(norm.layer("norm", in));
      layers.add(new Relu("norm.act"));
    }
    if (head.isPresent()) {
      layers.addAll(head.get().layers(in, activation));
    }
    return new Sequential("", layers);
  }

  private static Layer plain(String name, List<Layer> convolutions) {
    convolutions.add(new Relu(name + ".relu"));
    return new Sequential(name, convolutions);
  }

  /**
   * A block's convolutions with their norms; the ReLU after the last is not among them.
   *
   * @param dilation that of the first 3×3 convolution; in the first block of a stage the dilation
   *     of the stage before, since its input still has the pixels of that stage
   * @param next that of a second 3×3 convolution, and of the stage
   */
  private List<Layer> convolutions(
      String name, int in, List<Integer> inner, int out, int stride, int dilation, int next) {
    var main = new ArrayList<Layer>();
    int convStride = downsampling == Downsampling.STRIDE ? stride : 1;
    if (inner.size() == 1) {
      int width = inner.getFirst();
      main.add(conv3x3(name + ".conv1", in, width, convStride, dilation, 1));
      main.add(norm.layer(name + ".bn1", width));
      main.add(new Relu(name + ".relu1"));
      downsample(main, name + ".aa", stride, dilation != next);
      main.add(conv3x3(name + ".conv2", width, out, 1, next, 1));
      main.add(norm.layer(name + ".bn2", out));
    } else {
      int reduced = inner.getFirst();
      int width = inner.getLast();
      boolean strideFirst = stridePlacement == StridePlacement.FIRST_1X1;
      main.add(conv1x1(name + ".conv1", in, reduced, strideFirst ? stride : 1));
      main.add(norm.layer(name + ".bn1", reduced));
      main.add(new Relu(name + ".relu1"));
      main.add(
          conv3x3(name + ".conv2", reduced, width, strideFirst ? 1 : convStride, dilation, groups));
      main.add(norm.layer(name + ".bn2", width));
      main.add(new Relu(name + ".relu2"));
      downsample(main, name + ".aa", stride, dilation != next);
      main.add(conv1x1(name + ".conv3", width, out, 1));
      main.add(norm.layer(name + ".bn3", out));
    }
    return main;
  }

  /**
   * Adds the layer that replaces the stride of the 3×3 convolution.
   *
   * @param dilates whether the block begins a stage with dilation instead of stride; as in timm, a
   *     blur is kept then, without stride
   */
  private void downsample(List<Layer> main, String name, int stride, boolean dilates) {
    if (downsampling == Downsampling.BLUR && (stride > 1 || dilates)) {
      main.add(new BlurPool2d(name, stride));
    } else if (downsampling == Downsampling.AVERAGE && stride > 1) {
      main.add(new AvgPool2d(name, stride, stride, AvgPool2d.Edge.DROPPED));
    }
  }

  /**
   * @param dilation that of a 3×3 convolution
   * @param ofStage that of the stage
   */
  private Layer shortcut(String block, int in, int out, int stride, int dilation, int ofStage) {
    String name = block + ".downsample";
    if (stride == 1 && in == out) {
      return new Identity(name);
    }
    return switch (shortcut) {
      case ZERO_PAD -> new SubsampleAndPad(name, out, stride);
      case PROJECTION ->
          new Sequential(
              name, List.of(conv1x1(name + ".0", in, out, stride), norm.layer(name + ".1", out)));
      case PROJECTION_3X3 ->
          new Sequential(
              name,
              List.of(
                  stride > 1 || ofStage > 1
                      ? conv3x3(name + ".0", in, out, stride, dilation, 1)
                      : conv1x1(name + ".0", in, out, 1),
                  norm.layer(name + ".1", out)));
      case AVERAGE_POOL -> {
        var layers = new ArrayList<Layer>();
        averageBefore(name + ".0", stride, ofStage).ifPresent(layers::add);
        layers.add(conv1x1(name + ".1", in, out, 1));
        layers.add(norm.layer(name + ".2", out));
        yield new Sequential(name, layers);
      }
      case NONE -> throw new IllegalStateException(name);
    };
  }

  /**
   * The mean of 2×2 pixels before the projection of a shortcut; as in timm, a dilated stage keeps
   * it without stride.
   */
  static Optional<Layer> averageBefore(String name, int stride, int dilation) {
    if (stride > 1) {
      return Optional.of(new AvgPool2d(name, 2, stride, AvgPool2d.Edge.PARTIAL));
    }
    return dilation > 1
        ? Optional.of(new AvgPool2d(name, 2, 1, AvgPool2d.Edge.ZEROS))
        : Optional.empty();
  }

  private static Conv2d conv1x1(String name, int in, int out, int stride) {
    return new Conv2d(name, in, out, 1, stride, 0, 1, 1);
  }

  static Conv2d conv3x3(String name, int in, int out, int stride, int dilation, int groups) {
    return new Conv2d(name, in, out, 3, stride, dilation, dilation, groups);
  }

  /** Sets the fields of a {@link ResNetSpec}; each has the record's meaning. */
  public static final class Builder {
    private final Block block;
    private final List<Integer> blocks;
    private int channels = 64;
    private int groups = 1;
    private int widthPerGroup = 64;
    private List<StageWidths> widths = List.of();
    private Stem stem = Stem.IMAGENET;
    private StridePlacement stridePlacement = StridePlacement.ON_3X3;
    private Downsampling downsampling = Downsampling.STRIDE;
    private Shortcut shortcut = Shortcut.PROJECTION;
    private Attention attention = Attention.NONE;
    private Norm norm = Norm.BATCH;
    private Activation activation = Activation.POST;
    private List<Boolean> dilated;
    private int inChannels = 3;
    private int numClasses = 1000;
    private boolean includeTop = true;

    private Builder(Block block, List<Integer> blocks) {
      this.block = block;
      this.blocks = blocks;
      this.dilated = Collections.nCopies(Math.max(0, blocks.size() - 1), false);
    }

    public Builder channels(int value) {
      channels = value;
      return this;
    }

    public Builder groups(int value) {
      groups = value;
      return this;
    }

    public Builder widthPerGroup(int value) {
      widthPerGroup = value;
      return this;
    }

    public Builder widths(List<StageWidths> value) {
      widths = value;
      return this;
    }

    /**
     * Sets {@link #channels}, {@link #widthPerGroup} and {@link #widths} to these numbers of
     * channels, with {@code widths} only if the others do not give them; {@link #groups} and {@link
     * #stem} must be set before.
     *
     * @param found the numbers of channels of each stage
     * @param stemChannels the number of channels before the first stage
     */
    public Builder widths(List<StageWidths> found, int stemChannels) {
      channels = stemChannels;
      widthPerGroup = 64;
      widths = found;
      int out = found.getFirst().out;
      boolean doubles =
          out % block.expansion == 0
              && (stem instanceof Stem.Deep || out / block.expansion == stemChannels)
              && IntStream.range(0, found.size())
                  .allMatch(stage -> found.get(stage).out == (long) out << stage);
      if (!doubles) {
        return this;
      }
      channels = out / block.expansion;
      int rule =
          block == Block.BASIC
              ? 64
              : Math.toIntExact(
                  Math.ceilDiv(
                      found.getFirst().inner.getFirst().getLast() / groups * 64L, channels));
      ResNetSpec ruled =
          new Builder(block, blocks).channels(channels).groups(groups).widthPerGroup(rule).build();
      if (IntStream.range(0, found.size())
          .allMatch(stage ->
              IntStream.range(0, found.get(stage).inner.size())
                  .allMatch(
                      i -> found.get(stage).inner.get(i).equals(ruled.innerChannels(stage, i))))) {
        widthPerGroup = rule;
        widths = List.of();
      }
      return this;
    }

    public Builder stem(Stem value) {
      stem = value;
      return this;
    }

    public Builder stridePlacement(StridePlacement value) {
      stridePlacement = value;
      return this;
    }

    public Builder downsampling(Downsampling value) {
      downsampling = value;
      return this;
    }

    public Builder shortcut(Shortcut value) {
      shortcut = value;
      return this;
    }

    public Builder attention(Attention value) {
      attention = value;
      return this;
    }

    public Builder norm(Norm value) {
      norm = value;
      return this;
    }

    public Builder activation(Activation value) {
      activation = value;
      return this;
    }

    public Builder dilated(Boolean... value) {
      return dilated(List.of(value));
    }

    public Builder dilated(List<Boolean> value) {
      dilated = value;
      return this;
    }

    public Builder inChannels(int value) {
      inChannels = value;
      return this;
    }

    public Builder numClasses(int value) {
      numClasses = value;
      return this;
    }

    /** Sets {@link #numClasses} and {@link #includeTop} together. */
    public Builder head(Optional<Head> value) {
      numClasses = value.map(Head::numClasses).orElse(numClasses);
      includeTop = value.isPresent();
      return this;
    }

    public Builder includeTop(boolean value) {
      includeTop = value;
      return this;
    }

    /**
     * @throws IllegalArgumentException naming the field and its valid values
     */
    public ResNetSpec build() {
      return new ResNetSpec(
          block,
          blocks,
          channels,
          groups,
          widthPerGroup,
          widths,
          stem,
          stridePlacement,
          downsampling,
          shortcut,
          attention,
          norm,
          activation,
          dilated,
          inChannels,
          includeTop ? Optional.of(new Head(numClasses)) : Optional.empty());
    }
  }
}
