package io.github.resnet4j.server;

import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.Batcher.Result;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * The part of the Open Inference Protocol that HTTP and gRPC have in common: named input tensors
 * and named output tensors of a model.
 *
 * <p>A model takes {@code images}, FP32 {@code [N, C, H, W]}, preprocessed by the client, or {@code
 * encoded_images}, BYTES {@code [N, 1]} or {@code [N]}, image files that the server decodes and
 * preprocesses. Its outputs are {@code logits} FP32 {@code [N, classes]} and, if requested, {@code
 * probabilities} FP32 {@code [N, classes]} and {@code embedding} FP32 {@code [N, C]}. A model
 * without a head has {@code embedding} only.
 */
final class InferenceProtocol {
  static final String IMAGES = "images";
  static final String ENCODED_IMAGES = "encoded_images";
  static final String LOGITS = "logits";
  static final String PROBABILITIES = "probabilities";
  static final String EMBEDDING = "embedding";

  /** The maximum number of outputs in a request: each output once. */
  static final int MAX_OUTPUTS = 3;

  /** The maximum number of dimensions of an input. */
  static final int MAX_DIMENSIONS = 8;

  static final Set<String> OUTPUTS = Set.of(LOGITS, PROBABILITIES, EMBEDDING);

  static final String SERVER = "resnet4j";
  static final List<String> EXTENSIONS =
      List.of("binary_tensor_data", "model_configuration", "model_repository", "statistics");

  /** A tensor's description. */
  record Description(String name, String datatype, List<Long> shape) {}

  /** An input tensor: either numbers or files; the other is empty. */
  @SuppressWarnings("ArrayRecordComponent")
  record Input(
      String name, String datatype, List<Long> shape, float[] numbers, List<byte[]> files) {}

  /** An output tensor. */
  @SuppressWarnings("ArrayRecordComponent")
  record Output(String name, List<Long> shape, float[] numbers) {}

  private InferenceProtocol() {}

  static List<Description> inputs(ServedModel model) {
    int[] shape = model.inputShape();
    return List.of(
        new Description(
            IMAGES, "FP32", List.of(-1L, (long) shape[0], (long) shape[1], (long) shape[2])),
        new Description(ENCODED_IMAGES, "BYTES", List.of(-1L, 1L)));
  }

  static List<Description> outputs(ServedModel model) {
    long classes = model.classifier().labels().size();
    long channels = model.classifier().network().spec().featureChannels();
    var embedding = new Description(EMBEDDING, "FP32", List.of(-1L, channels));
    if (!model.hasHead()) {
      return List.of(embedding);
    }
    var logits = new Description(LOGITS, "FP32", List.of(-1L, classes));
    return model.predictsNumbers()
        ? List.of(logits, embedding)
        : List.of(logits, new Description(PROBABILITIES, "FP32", List.of(-1L, classes)), embedding);
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

  /** Checks the shape of an input and returns its number of images. */
  static int images(ServedModel model, Input input) {
    if (input.name.equals(ENCODED_IMAGES) && input.datatype.equals("BYTES")) {
      boolean fits = input.shape.size() == 1 || input.shape.size() == 2;
      if (!fits || !hasSize(input.shape, input.files.size()) || input.files.isEmpty()) {
        throw new ApiException(
            Kind.BAD_REQUEST,
            "input 'encoded_images' must have the shape [N] or [N, 1] and N images, has %s and %d"
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
        throw new ApiException(
            Kind.BAD_REQUEST,
            "input 'images' must have the shape [N, %d, %d, %d], has %s"
                .formatted(one[0], one[1], one[2], input.shape));
      }
      if (!hasSize(input.shape, input.numbers.length)) {
        throw new ApiException(
            Kind.BAD_REQUEST,
            "input 'images' of shape %s has %d values"
                .formatted(input.shape, input.numbers.length));
      }
      int found = Batcher.firstNonFinite(input.numbers);
      if (found >= 0) {
        throw new ApiException(
            Kind.BAD_REQUEST,
            "input 'images' contains %s at index %d; all values must be finite"
                .formatted(input.numbers[found], found));
      }
      return input.numbers.length / size;
    }
    throw new ApiException(
        Kind.BAD_REQUEST,
        "the input must be 'images' of type FP32 or 'encoded_images' of type BYTES");
  }

  /** Whether a shape has this number of elements; computed without overflow. */
  private static boolean hasSize(List<Long> shape, int elements) {
    long product = 1;
    for (long extent : shape) {
      if (extent < 1 || extent > Integer.MAX_VALUE || product > Integer.MAX_VALUE) {
        return false;
      }
      product *= extent;
    }
    return product == elements;
  }

  /** Submits all images of an input and returns their future results. */
  static List<CompletableFuture<Result>> submit(ServedModel model, Input input, long deadline) {
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

  /** Collects the outputs of these names from the results. */
  static List<Output> collect(ServedModel model, List<String> names, List<Result> results) {
    var outputs = new ArrayList<Output>();
    for (String name : names) {
      outputs.add(
          switch (name) {
            case LOGITS -> rows(name, results, Result::logits);
            case PROBABILITIES ->
                rows(name, results, result -> model.classifier().probabilities(result.logits()));
            case EMBEDDING -> rows(name, results, Result::embedding);
            default -> throw new IllegalStateException(name);
          });
    }
    return outputs;
  }

  /**
   * Checks the names of the requested outputs.
   *
   * @param requested the names; if there are none, the model's first output is returned
   * @throws ApiException if the model has no such output, or one is named twice
   */
  static List<String> outputs(ServedModel model, List<String> requested) {
    if (requested.isEmpty()) {
      return List.of(model.hasHead() ? LOGITS : EMBEDDING);
    }
    if (requested.size() > MAX_OUTPUTS || Set.copyOf(requested).size() < requested.size()) {
      throw new ApiException(Kind.BAD_REQUEST, "an output must be named once");
    }
    if (!OUTPUTS.containsAll(requested)) {
      throw new ApiException(
          Kind.BAD_REQUEST, "the outputs are 'logits', 'probabilities' and 'embedding'");
    }
    if (!requested.equals(List.of(EMBEDDING))) {
      model.requireHead();
    }
    if (requested.contains(PROBABILITIES)) {
      model.requireClasses();
    }
    return requested;
  }

  private static Output rows(String name, List<Result> results, Function<Result, float[]> row) {
    int width = row.apply(results.getFirst()).length;
    float[] all = new float[width * results.size()];
    for (int i = 0; i < results.size(); i++) {
      System.arraycopy(row.apply(results.get(i)), 0, all, i * width, width);
    }
    return new Output(name, List.of((long) results.size(), (long) width), all);
  }
}
