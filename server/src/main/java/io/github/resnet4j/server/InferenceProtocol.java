package io.github.resnet4j.server;

import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Refusal.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * What the Open Inference Protocol asks of a model, whether it came over HTTP or gRPC: tensors with
 * names in, tensors with names out.
 *
 * <p>A model takes {@code images}, FP32 {@code [N, C, H, W]}, preprocessed by the client, or {@code
 * encoded_images}, BYTES {@code [N]}, files of images that are prepared here. It gives {@code
 * logits} and, if asked, {@code probabilities} FP32 {@code [N, classes]} and {@code embedding} FP32
 * {@code [N, C]}. A model without a head gives {@code embedding} only.
 */
final class InferenceProtocol {
  static final String IMAGES = "images";
  static final String ENCODED_IMAGES = "encoded_images";
  static final String LOGITS = "logits";
  static final String PROBABILITIES = "probabilities";
  static final String EMBEDDING = "embedding";

  /** Outputs of a request: each that there is, once. */
  static final int MOST_OUTPUTS = 3;

  /** Dimensions of an input's shape. */
  static final int MOST_DIMENSIONS = 8;

  static final Set<String> OUTPUTS = Set.of(LOGITS, PROBABILITIES, EMBEDDING);

  static final String SERVER = "resnet4j";
  static final List<String> EXTENSIONS = List.of("binary_tensor_data", "model_repository");

  /** A tensor's description. */
  record Description(String name, String datatype, List<Long> shape) {}

  /** What comes in; one of both lists is empty. */
  @SuppressWarnings("ArrayRecordComponent")
  record Input(
      String name, String datatype, List<Long> shape, float[] numbers, List<byte[]> files) {}

  /** What goes out. */
  @SuppressWarnings("ArrayRecordComponent")
  record Output(String name, List<Long> shape, float[] numbers) {}

  private InferenceProtocol() {}

  static List<Description> inputs(ServedModel model) {
    int[] shape = model.inputShape();
    return List.of(
        new Description(
            IMAGES, "FP32", List.of(-1L, (long) shape[0], (long) shape[1], (long) shape[2])),
        new Description(ENCODED_IMAGES, "BYTES", List.of(-1L)));
  }

  static List<Description> outputs(ServedModel model) {
    long classes = model.classifier().labels().size();
    long channels = model.classifier().network().spec().featureChannels();
    var embedding = new Description(EMBEDDING, "FP32", List.of(-1L, channels));
    return model.hasHead()
        ? List.of(
            new Description(LOGITS, "FP32", List.of(-1L, classes)),
            new Description(PROBABILITIES, "FP32", List.of(-1L, classes)),
            embedding)
        : List.of(embedding);
  }

  static Map<String, Object> metadata(ServedModel model, List<String> versions) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("name", model.name());
    fields.put("versions", versions);
    fields.put("platform", "resnet4j");
    fields.put("inputs", inputs(model).stream().map(InferenceProtocol::toFields).toList());
    fields.put("outputs", outputs(model).stream().map(InferenceProtocol::toFields).toList());
    fields.put("parameters", ModelRepository.describe(model));
    return fields;
  }

  private static Map<String, Object> toFields(Description description) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("name", description.name);
    fields.put("datatype", description.datatype);
    fields.put("shape", description.shape);
    return fields;
  }

  /** How many images an input has, once its shape has been found right. */
  static int images(ServedModel model, Input input) {
    if (input.name.equals(ENCODED_IMAGES) && input.datatype.equals("BYTES")) {
      boolean fits = input.shape.size() == 1 || input.shape.size() == 2;
      if (!fits || !holds(input.shape, input.files.size()) || input.files.isEmpty()) {
        throw new Refusal(
            Kind.BAD_REQUEST,
            "input 'encoded_images' must have the shape [N] or [N, 1] and N files, has %s and %d"
                .formatted(input.shape, input.files.size()));
      }
      return input.files.size();
    }
    if (input.name.equals(IMAGES) && input.datatype.equals("FP32")) {
      int[] one = model.inputShape();
      int size = one[0] * one[1] * one[2];
      boolean fits = input.shape.size() == 4 && input.shape.getFirst() >= 1;
      for (int i = 0; fits && i < 3; i++) {
        fits = input.shape.get(i + 1) == one[i];
      }
      if (!fits) {
        throw new Refusal(
            Kind.BAD_REQUEST,
            "input 'images' must be [N, %d, %d, %d], is %s"
                .formatted(one[0], one[1], one[2], input.shape));
      }
      if (!holds(input.shape, input.numbers.length)) {
        throw new Refusal(
            Kind.BAD_REQUEST,
            "input 'images' of %s has %d numbers".formatted(input.shape, input.numbers.length));
      }
      int found = Batcher.notFinite(input.numbers);
      if (found >= 0) {
        throw new Refusal(
            Kind.BAD_REQUEST,
            "input 'images' must have finite numbers, has %s at %d"
                .formatted(input.numbers[found], found));
      }
      return input.numbers.length / size;
    }
    throw new Refusal(
        Kind.BAD_REQUEST,
        "the input must be 'images' of FP32 or 'encoded_images' of BYTES, one of both");
  }

  /** Whether a shape has so many elements; in exact arithmetic, whatever its numbers are. */
  private static boolean holds(List<Long> shape, int elements) {
    long product = 1;
    for (long extent : shape) {
      if (extent < 1 || extent > Integer.MAX_VALUE || product > Integer.MAX_VALUE) {
        return false;
      }
      product *= extent;
    }
    return product == elements;
  }

  /** Begins with all images; the answers come one by one. */
  static List<CompletableFuture<Result>> begin(ServedModel model, Input input, long deadline) {
    var futures = new ArrayList<CompletableFuture<Result>>();
    if (!input.files.isEmpty()) {
      for (byte[] file : input.files) {
        futures.add(model.run(file, false, deadline));
      }
      return futures;
    }
    int[] one = model.inputShape();
    int size = one[0] * one[1] * one[2];
    if (input.numbers.length == size) {
      return List.of(model.run(input.numbers, deadline));
    }
    for (int from = 0; from < input.numbers.length; from += size) {
      futures.add(model.run(Arrays.copyOfRange(input.numbers, from, from + size), deadline));
    }
    return futures;
  }

  /** The outputs of these names. */
  static List<Output> finish(List<String> names, List<Result> results) {
    var outputs = new ArrayList<Output>();
    for (String name : names) {
      outputs.add(
          switch (name) {
            case LOGITS -> rows(name, results, Result::logits);
            case PROBABILITIES -> rows(name, results, result -> softmax(result.logits()));
            case EMBEDDING -> rows(name, results, Result::embedding);
            default -> throw new IllegalStateException(name);
          });
    }
    return outputs;
  }

  /**
   * The names of a request's outputs.
   *
   * @param wanted as the request names them; if it names none, it gets the model's first output
   * @throws Refusal if the model has no such output, or one is named twice
   */
  static List<String> outputs(ServedModel model, List<String> wanted) {
    if (wanted.isEmpty()) {
      return List.of(model.hasHead() ? LOGITS : EMBEDDING);
    }
    if (wanted.size() > MOST_OUTPUTS || Set.copyOf(wanted).size() < wanted.size()) {
      throw new Refusal(Kind.BAD_REQUEST, "an output must be named once");
    }
    if (!OUTPUTS.containsAll(wanted)) {
      throw new Refusal(
          Kind.BAD_REQUEST, "the outputs are 'logits', 'probabilities' and 'embedding'");
    }
    if (!wanted.equals(List.of(EMBEDDING))) {
      model.requireHead();
    }
    return wanted;
  }

  private static Output rows(String name, List<Result> results, Function<Result, float[]> row) {
    int width = row.apply(results.getFirst()).length;
    float[] all = new float[width * results.size()];
    for (int i = 0; i < results.size(); i++) {
      System.arraycopy(row.apply(results.get(i)), 0, all, i * width, width);
    }
    return new Output(name, List.of((long) results.size(), (long) width), all);
  }

  private static float[] softmax(float[] logits) {
    float max = Float.NEGATIVE_INFINITY;
    for (float each : logits) {
      max = Math.max(max, each);
    }
    double sum = 0;
    for (float each : logits) {
      sum += Math.exp(each - max);
    }
    float[] probabilities = new float[logits.length];
    for (int i = 0; i < logits.length; i++) {
      probabilities[i] = (float) (Math.exp(logits[i] - max) / sum);
    }
    return probabilities;
  }
}
