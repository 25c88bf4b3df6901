package io.github.resnet4j;

import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.engine.InferenceSession;
import io.github.resnet4j.engine.KernelChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.image.TestTimeAugmentation;
import io.github.resnet4j.kernel.Scalar;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SequencedMap;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/**
 * Classifies images, and computes their embeddings and feature maps: a compiled {@link Model} with
 * its own threads.
 *
 * <pre>{@code
 * try (var classifier = Classifier.load("resnet50")) {
 *   for (var prediction : classifier.classify(Path.of("cat.jpg"), 5)) {
 *     System.out.println(prediction);
 *   }
 * }
 * }</pre>
 *
 * <p>Thread-safe. Images are decoded in parallel; the network runs one batch at a time, since one
 * batch already uses all threads. {@link #close} waits for running calls; later calls throw {@link
 * IllegalStateException}.
 *
 * <p>If the network's result overflows, or its weights contain NaN, probabilities are NaN.
 */
public final class Classifier implements AutoCloseable {
  private final Model model;
  private final ImageDecoder decoder;
  private final int batchSize;
  private final TestTimeAugmentation augmentation;
  private final InferenceSession session;
  private final Team team;

  /** Each call holds the read lock; {@link #close} takes the write lock. */
  private final ReentrantReadWriteLock use = new ReentrantReadWriteLock();

  /** Held while the network runs. */
  private final ReentrantLock turn = new ReentrantLock();

  private @Nullable InferenceSession tapped;
  private boolean closed;

  private Classifier(
      Model model,
      ImageDecoder decoder,
      int batchSize,
      TestTimeAugmentation augmentation,
      InferenceSession session) {
    this.model = model;
    this.decoder = decoder;
    this.batchSize = batchSize;
    this.augmentation = augmentation;
    this.session = session;
    this.team = new Team(session.options().threads());
  }

  /** A classifier of {@link Model#embedded()}, handwritten digits, with the default options. */
  public static Classifier embedded() {
    return builder().embedded();
  }

  /**
   * A classifier of {@link Model#load(String)} with the default options.
   *
   * @param name {@code resnet50}, {@code hf:owner/name}, or a file
   */
  public static Classifier load(String name) throws IOException {
    return builder().load(name);
  }

  /** A classifier of {@link Model#load(Path)} with the default options. */
  public static Classifier load(Path file) throws IOException {
    return builder().load(file);
  }

  /** A classifier of {@link Model#load(Path, String)} with the default options. */
  public static Classifier load(Path file, String network) throws IOException {
    return builder().load(file, network);
  }

  /** A classifier of a model with the default options. */
  public static Classifier of(Model model) {
    return builder().of(model);
  }

  /** A builder, which sets the options before loading a model. */
  public static Builder builder() {
    return new Builder();
  }

  /** The options of a classifier; the last call loads the model. */
  public static final class Builder {
    private CompileOptions compile = CompileOptions.defaults().withPrecision(Precision.WEIGHTS);
    private int batchSize = 16;
    private ImageDecoder decoder = ImageDecoder.DEFAULT;
    private TestTimeAugmentation augmentation = TestTimeAugmentation.NONE;
    private @Nullable Preprocessing preprocessing;
    private @Nullable List<String> labels;

    private Builder() {}

    /** The number of threads, at least 1; by default all cores. */
    public Builder threads(int value) {
      return compile(compile.withThreads(value));
    }

    /** The precision of the computation; by default {@link Precision#WEIGHTS}. */
    public Builder precision(Precision value) {
      return compile(compile.withPrecision(value));
    }

    /** The kernels; by default {@link KernelChoice#AUTO}. */
    public Builder kernels(KernelChoice value) {
      return compile(compile.withKernels(value));
    }

    /** How 3×3 convolutions are computed; by default {@link CompileOptions.Algorithm#AUTO}. */
    public Builder algorithm(CompileOptions.Algorithm value) {
      return compile(compile.withAlgorithm(value));
    }

    /**
     * The engine; by default {@link EngineChoice#RESNET4J}. Heat maps are always computed by it.
     */
    public Builder engine(EngineChoice value) {
      return compile(compile.withEngine(value));
    }

    /**
     * Sets threads, precision, kernels, algorithm and engine together.
     *
     * @param value the options; its taps are not used
     */
    public Builder compile(CompileOptions value) {
      compile = value;
      return this;
    }

    /** The number of images that run together, at least 1; by default 16. */
    public Builder batchSize(int value) {
      if (value < 1) {
        throw new IllegalArgumentException("the batch size must be at least 1, was " + value);
      }
      batchSize = value;
      return this;
    }

    /** The decoder of images; by default {@link ImageDecoder#DEFAULT}. */
    public Builder decoder(ImageDecoder value) {
      decoder = value;
      return this;
    }

    /**
     * Test-time augmentation: the network's outputs (logits or numbers) and embeddings are averaged
     * over several views of each image. Heat maps and feature maps are those of the first view; by
     * default there is only one.
     */
    public Builder augmentation(TestTimeAugmentation value) {
      augmentation = value;
      return this;
    }

    /** The preprocessing of images; by default the model's. */
    public Builder preprocessing(Preprocessing value) {
      preprocessing = value;
      return this;
    }

    /** The names of the classes, in the order of the logits; by default the model's. */
    public Builder labels(List<String> value) {
      labels = List.copyOf(value);
      return this;
    }

    /** A classifier of {@link Model#embedded()}. */
    public Classifier embedded() {
      return of(Model.embedded());
    }

    /** A classifier of {@link Model#load(String)}. */
    public Classifier load(String name) throws IOException {
      return of(Model.load(name));
    }

    /** A classifier of {@link Model#load(Path)}. */
    public Classifier load(Path file) throws IOException {
      return of(Model.load(file));
    }

    /** A classifier of {@link Model#load(Path, String)}. */
    public Classifier load(Path file, String network) throws IOException {
      return of(Model.load(file, network));
    }

    /**
     * A classifier of a model.
     *
     * @throws IllegalArgumentException if the options do not match the model, or the kernels are
     *     not available
     */
    public Classifier of(Model model) {
      Model chosen = preprocessing == null ? model : model.withPreprocessing(preprocessing);
      chosen = labels == null ? chosen : chosen.withLabels(labels);
      return new Classifier(
          chosen, decoder, batchSize, augmentation, chosen.network().openWithEmbedding(compile));
    }
  }

  /** The network, its preprocessing and its labels. */
  public Model model() {
    return model;
  }

  /** The options with which the network is compiled. */
  public CompileOptions options() {
    return session.options().withTaps();
  }

  /**
   * The precision of the computation: what {@link Precision#AUTO} and {@link Precision#WEIGHTS}
   * have chosen, never one of them.
   */
  public Precision precision() {
    return session.precision();
  }

  /**
   * Another classifier on the same packed weights, with its own threads and memory for activations.
   * Use it for calls that must run concurrently. Each classifier is closed separately.
   */
  public Classifier sibling() {
    return new Classifier(model, decoder, batchSize, augmentation, session.sibling());
  }

  /**
   * The most likely classes of an image, best first.
   *
   * @param top the number of classes; at most all classes are returned
   * @throws IOException if the image cannot be read
   * @throws IllegalArgumentException if the network has no head, or predicts numbers
   */
  public List<Prediction> classify(Path image, int top) throws IOException {
    return classify(Image.of(image), top);
  }

  /** The same for an image from any source. */
  public List<Prediction> classify(Image image, int top) throws IOException {
    model.requireClasses();
    return predictions(run(views(image)), top).getFirst();
  }

  /**
   * The numbers that a {@linkplain Task.Regression regression} predicts for an image, in the order
   * of the model's labels.
   *
   * @throws IOException if the image cannot be read
   * @throws IllegalArgumentException if the model predicts classes
   */
  public float[] values(Path image) throws IOException {
    return values(Image.of(image));
  }

  /** The same for an image from any source. */
  public float[] values(Image image) throws IOException {
    return values(run(views(image))).getFirst();
  }

  /**
   * The embedding of an image: the mean of the last stage's result over all pixels, one number per
   * channel. The network needs no head.
   *
   * @throws IOException if the image cannot be read
   */
  public float[] embed(Path image) throws IOException {
    return embed(Image.of(image));
  }

  /** The same for an image from any source. */
  public float[] embed(Image image) throws IOException {
    return run(views(image)).embeddings().row(0);
  }

  /**
   * The results of layers for an image.
   *
   * @param layers names such as {@code layer3} or {@code layer4.1}
   * @return by layer, in the order of the names: {@code [1, C, H, W]}, or {@code [1, C]} after
   *     pooling
   * @throws IOException if the image cannot be read
   * @throws IllegalArgumentException if there is no layer of such a name
   */
  public SequencedMap<String, Tensor> featureMaps(Path image, String... layers) throws IOException {
    return featureMaps(Image.of(image), layers);
  }

  /** The same for an image from any source. */
  public SequencedMap<String, Tensor> featureMaps(Image image, String... layers)
      throws IOException {
    return run(input(image), layers);
  }

  /**
   * A heat map of the image's most likely class, from the last stage.
   *
   * @throws IOException if the image cannot be read
   * @throws IllegalArgumentException if the network has no head
   */
  public HeatMap explain(Path image, Explainer.Method method) throws IOException {
    return explain(Image.of(image), method);
  }

  /** The same for an image from any source. */
  public HeatMap explain(Image image, Explainer.Method method) throws IOException {
    return explain(image, method, OptionalInt.empty());
  }

  /**
   * A heat map of a class, from the last stage.
   *
   * @param index the index of the class
   * @throws IOException if the image cannot be read
   * @throws IllegalArgumentException if the network has no head, or there is no such class
   */
  public HeatMap explain(Path image, Explainer.Method method, int index) throws IOException {
    return explain(Image.of(image), method, index);
  }

  /** The same for an image from any source. */
  public HeatMap explain(Image image, Explainer.Method method, int index) throws IOException {
    return explain(image, method, OptionalInt.of(index));
  }

  private HeatMap explain(Image image, Explainer.Method method, OptionalInt index)
      throws IOException {
    Explainer explainer = model.requireHead().network().explainer();
    Tensor x = input(image);
    begin();
    try {
      return explainer.explain(x, method, index, model.network().spec().lastStage(), options());
    } finally {
      end();
    }
  }

  /**
   * The most likely classes of many images, in their order. While a batch runs, the next batch is
   * decoded. An image that cannot be read gives a result with an error. Reading starts when the
   * first result is requested; closing the stream stops the decoding.
   *
   * @param images the files
   * @param top the number of classes per image, best first
   * @throws IllegalArgumentException if the network has no head
   */
  public Stream<Result<List<Prediction>>> classifyAll(Collection<Path> images, int top) {
    model.requireClasses();
    return results(images, x -> predictions(run(x), top));
  }

  /** The numbers that a regression predicts for many images, see {@link #classifyAll}. */
  public Stream<Result<float[]>> valuesAll(Collection<Path> images) {
    return results(images, x -> values(run(x)));
  }

  /** The embeddings of many images, see {@link #embed(Path)} and {@link #classifyAll}. */
  public Stream<Result<float[]>> embedAll(Collection<Path> images) {
    return results(images, x -> rows(run(x).embeddings()));
  }

  /**
   * The embeddings of many images from another layer: the mean of its result over all pixels, see
   * {@link #classifyAll}.
   */
  public Stream<Result<float[]>> embedAll(Collection<Path> images, String layer) {
    return results(
        images,
        x -> {
          Tensor map = run(x, layer).firstEntry().getValue();
          return rows(map.rank() == 4 ? Scalar.globalAveragePool(map) : map);
        });
  }

  /** The results of layers for many images, see {@link #featureMaps} and {@link #classifyAll}. */
  public Stream<Result<SequencedMap<String, Tensor>>> featureMapsAll(
      Collection<Path> images, String... layers) {
    return results(images, x -> images(run(x, layers)));
  }

  private List<List<Prediction>> predictions(Outputs outputs, int top) {
    return model.top(outputs.logits().orElseThrow(), top);
  }

  private List<float[]> values(Outputs outputs) {
    return rows(outputs.logits().orElseThrow()).stream().map(model::values).toList();
  }

  private static List<float[]> rows(Tensor batch) {
    return IntStream.range(0, batch.dim(0)).mapToObj(batch::row).toList();
  }

  /** The results of a batch, image by image. */
  private static List<SequencedMap<String, Tensor>> images(SequencedMap<String, Tensor> batch) {
    int size = batch.firstEntry().getValue().dim(0);
    var images = new ArrayList<SequencedMap<String, Tensor>>();
    for (int i = 0; i < size; i++) {
      var one = new LinkedHashMap<String, Tensor>();
      for (var entry : batch.entrySet()) {
        int[] shape = entry.getValue().shape();
        shape[0] = 1;
        one.put(entry.getKey(), Tensor.of(entry.getValue().row(i), shape));
      }
      images.add(one);
    }
    return images;
  }

  private <T> Stream<Result<T>> results(
      Collection<Path> images, Function<Tensor, List<T>> network) {
    var results = new Results<>(images.stream().map(Image::of).toList(), network);
    return StreamSupport.stream(
            Spliterators.spliteratorUnknownSize(results, Spliterator.ORDERED | Spliterator.NONNULL),
            false)
        .onClose(results::stop);
  }

  /**
   * Decoded and preprocessed images.
   *
   * @param input the network's input, {@code [N, C, H, W]}; with a {@link TestTimeAugmentation} the
   *     first views of all images, then the second ones, and so on
   * @param errors the reasons why images could not be read, in the order of the images; empty for
   *     the others. The input of an unreadable image is zeros
   */
  public record Batch(Tensor input, List<Optional<IOException>> errors) {
    public Batch {
      errors = List.copyOf(errors);
    }
  }

  /**
   * The results of a batch.
   *
   * @param embeddings {@code [N, featureChannels]}, the mean of the last stage's result over all
   *     pixels
   * @param logits {@code [N, classes]}; empty for a network without a head
   */
  public record Outputs(Tensor embeddings, Optional<Tensor> logits) {}

  /** Decodes and preprocesses images in parallel, for {@link #run(Tensor)}. */
  public Batch prepare(List<Image> images) {
    begin();
    try {
      return load(images, () -> false);
    } finally {
      end();
    }
  }

  /**
   * Runs the network on preprocessed images.
   *
   * @param input {@code [N, C, H, W]}, see {@link #prepare} and {@link Preprocessing}
   * @return with a {@link TestTimeAugmentation} the means over the views of an image
   */
  public Outputs run(Tensor input) {
    int views = augmentation.views();
    if (views == 1) {
      return runViews(input);
    }
    int[] shape = input.shape();
    if (shape[0] % views != 0) {
      throw new IllegalArgumentException(
          "%d inputs are not %d views of each image".formatted(shape[0], views));
    }
    shape[0] /= views;
    var sums = new ArrayList<Tensor>();
    for (int v = 0; v < views; v++) {
      int size = input.size() / views;
      float[] part = Arrays.copyOfRange(input.data(), v * size, (v + 1) * size);
      Outputs outputs = runViews(Tensor.of(part, shape));
      List<Tensor> found =
          Stream.concat(Stream.of(outputs.embeddings()), outputs.logits().stream()).toList();
      for (int k = 0; k < found.size(); k++) {
        if (v == 0) {
          sums.add(Tensor.zeros(found.get(k).shape()));
        }
        float[] sum = sums.get(k).data();
        for (int i = 0; i < sum.length; i++) {
          sum[i] += found.get(k).data()[i] / views;
        }
      }
    }
    return new Outputs(
        sums.getFirst(), sums.size() > 1 ? Optional.of(sums.get(1)) : Optional.empty());
  }

  private Outputs runViews(Tensor input) {
    begin();
    turn.lock();
    try {
      SequencedMap<String, Tensor> outputs = session.runAll(input);
      return new Outputs(
          outputs.firstEntry().getValue(),
          model.network().spec().includeTop()
              ? Optional.of(outputs.lastEntry().getValue())
              : Optional.empty());
    } finally {
      turn.unlock();
      end();
    }
  }

  private SequencedMap<String, Tensor> run(Tensor input, String... layers) {
    begin();
    turn.lock();
    try {
      SequencedMap<String, Tensor> outputs = tapped(layers).runAll(input);
      outputs.pollLastEntry(); // the network's own
      return outputs;
    } finally {
      turn.unlock();
      end();
    }
  }

  /** A session with these layers as taps; the last one is cached. */
  private InferenceSession tapped(String... layers) {
    InferenceSession known = tapped;
    if (known == null || !known.options().taps().equals(Arrays.asList(layers))) {
      if (known != null) {
        known.close();
      }
      known = session.withTaps(layers);
      tapped = known;
    }
    return known;
  }

  private Tensor input(Image image) throws IOException {
    begin();
    try {
      return model.preprocessing().apply(image.decode(decoder));
    } finally {
      end();
    }
  }

  /** The views of an image. */
  private Tensor views(Image image) throws IOException {
    begin();
    try {
      Tensor input = model.preprocessing().batch(augmentation.views());
      model.preprocessing().apply(image.decode(decoder), augmentation, input, 0, 1);
      return input;
    } finally {
      end();
    }
  }

  private Batch load(List<Image> images, BooleanSupplier isStopped) {
    Tensor input = model.preprocessing().batch(images.size() * augmentation.views());
    var errors =
        new ArrayList<Optional<IOException>>(Collections.nCopies(images.size(), Optional.empty()));
    team.forEach(
        images.size(),
        i -> {
          if (isStopped.getAsBoolean()) {
            return;
          }
          try {
            model
                .preprocessing()
                .apply(images.get(i).decode(decoder), augmentation, input, i, images.size());
          } catch (IOException e) {
            errors.set(i, Optional.of(e));
          }
        });
    return new Batch(input, errors);
  }

  /** The results of many images; the next batch is decoded while one runs. */
  private final class Results<T> implements Iterator<Result<T>> {
    private final List<Image> images;
    private final Function<Tensor, List<T>> network;
    private Iterator<Result<T>> ready = Collections.emptyIterator();
    private int taken;
    private @Nullable FutureTask<Batch> next;
    private volatile boolean stopped;

    Results(List<Image> images, Function<Tensor, List<T>> network) {
      this.images = images;
      this.network = network;
    }

    @Override
    public boolean hasNext() {
      return ready.hasNext() || taken < images.size();
    }

    @Override
    public Result<T> next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      if (!ready.hasNext()) {
        ready = nextBatch().iterator();
      }
      return ready.next();
    }

    private List<Result<T>> nextBatch() {
      begin();
      try {
        List<Image> some = from(taken);
        Batch batch = next == null ? load(some, () -> stopped) : await(next);
        taken += some.size();
        next = taken < images.size() ? startLoading(from(taken)) : null;
        List<T> values = network.apply(batch.input);
        var results = new ArrayList<Result<T>>();
        for (int i = 0; i < some.size(); i++) {
          Optional<IOException> error = batch.errors.get(i);
          results.add(
              new Result<>(
                  some.get(i).name(),
                  error.isPresent() ? Optional.empty() : Optional.of(values.get(i)),
                  error));
        }
        return results;
      } finally {
        end();
      }
    }

    private List<Image> from(int first) {
      return images.subList(first, Math.min(images.size(), first + batchSize));
    }

    /**
     * A thread that ends with its batch, so that a stream that is not closed leaves no thread
     * behind.
     */
    private FutureTask<Batch> startLoading(List<Image> some) {
      var task = new FutureTask<>(() -> load(some, () -> stopped));
      Thread.ofPlatform().daemon().name("resnet4j-decode").start(task);
      return task;
    }

    void stop() {
      stopped = true;
      taken = images.size();
      ready = Collections.emptyIterator();
    }
  }

  private static Batch await(FutureTask<Batch> task) {
    try {
      return task.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case Error error -> throw error;
        case RuntimeException defect -> throw defect;
        case null, default -> throw new IllegalStateException(e);
      }
    }
  }

  private void begin() {
    use.readLock().lock();
    if (closed) {
      use.readLock().unlock();
      throw new IllegalStateException("the classifier is closed");
    }
  }

  private void end() {
    use.readLock().unlock();
  }

  /** Waits for running calls, then ends the threads. */
  @Override
  public void close() {
    use.writeLock().lock();
    try {
      if (!closed) {
        closed = true;
        session.close();
        if (tapped != null) {
          tapped.close();
        }
        team.close();
      }
    } finally {
      use.writeLock().unlock();
    }
  }

  /** {@code Classifier[resnet50, 1000 classes, FP32, 2 threads]}. */
  @Override
  public String toString() {
    return "Classifier[%s, %s, %d threads]"
        .formatted(model.network().describe(), session.precision(), session.options().threads());
  }
}
