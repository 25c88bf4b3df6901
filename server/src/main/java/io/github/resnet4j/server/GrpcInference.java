package io.github.resnet4j.server;

import com.google.protobuf.ByteString;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.InferenceProtocol.Input;
import io.github.resnet4j.server.InferenceProtocol.Output;
import io.github.resnet4j.server.inference.InferParameter;
import io.github.resnet4j.server.inference.ModelInferRequest;
import io.github.resnet4j.server.inference.ModelInferResponse;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Runs the inference requests of gRPC's clients. */
final class GrpcInference {
  private final ServerOptions options;
  private final ModelRepository models;
  private final Metrics metrics;

  GrpcInference(ServerOptions options, ModelRepository models, Metrics metrics) {
    this.options = options;
    this.models = models;
    this.metrics = metrics;
  }

  /**
   * Runs a request's images.
   *
   * @param isCancelled whether the client has cancelled the call; polled while waiting
   */
  ModelInferResponse run(ModelInferRequest request, BooleanSupplier isCancelled) {
    try (var lease =
            models.acquire(
                Optional.of(request.getModelName()), Optional.of(request.getModelVersion()));
        var measured = lease.model().statistics().begin()) {
      return run(lease.model(), request, isCancelled, measured);
    }
  }

  /**
   * The deadline of a request: the earliest of the server's, gRPC's and that of the request's
   * parameters.
   */
  private long deadline(ModelInferRequest request) {
    long nanos = options.limits().requestTimeout().toNanos();
    var context = io.grpc.Context.current().getDeadline();
    if (context != null) {
      nanos = Math.min(nanos, context.timeRemaining(TimeUnit.NANOSECONDS));
    }
    InferParameter timeout = request.getParametersMap().get("timeout");
    if (timeout != null && timeout.getInt64Param() > 0) {
      nanos = Math.min(nanos, TimeUnit.MICROSECONDS.toNanos(timeout.getInt64Param()));
    }
    return System.nanoTime() + nanos;
  }

  private ModelInferResponse run(
      ServedModel model,
      ModelInferRequest request,
      BooleanSupplier isCancelled,
      Statistics.Request measured) {
    long deadline = deadline(request);
    Input input = input(request, options.limits().maxImages());
    int images = InferenceProtocol.images(model, input);
    if (images > options.limits().maxImages()) {
      throw new ApiException(
          Kind.TOO_LARGE, "%d images, at most %d".formatted(images, options.limits().maxImages()));
    }
    List<String> requested =
        request.getOutputsList().stream()
            .map(ModelInferRequest.InferRequestedOutputTensor::getName)
            .toList();
    List<String> outputs = InferenceProtocol.outputs(model, requested);
    var futures = InferenceProtocol.submit(model, input, deadline);
    measured.submitted();
    List<Result> results = Batcher.await(futures, deadline, isCancelled);
    metrics.recordResults(results);
    var response =
        ModelInferResponse.newBuilder()
            .setModelName(model.name())
            .setModelVersion(model.version())
            .setId(request.getId());
    for (Output output : InferenceProtocol.collect(model, outputs, results)) {
      response.addOutputs(
          ModelInferResponse.InferOutputTensor.newBuilder()
              .setName(output.name())
              .setDatatype("FP32")
              .addAllShape(output.shape()));
      response.addRawOutputContents(ByteString.copyFrom(InferenceJson.bytes(output.numbers())));
    }
    measured.complete(results);
    return response.build();
  }

  private static Input input(ModelInferRequest request, int images) {
    if (request.getInputsCount() != 1) {
      throw new ApiException(
          Kind.BAD_REQUEST, "inputs must have one entry, has " + request.getInputsCount());
    }
    var tensor = request.getInputs(0);
    if (tensor.getShapeCount() > InferenceProtocol.MAX_DIMENSIONS) {
      throw new ApiException(
          Kind.BAD_REQUEST,
          "a shape has more than %d dimensions".formatted(InferenceProtocol.MAX_DIMENSIONS));
    }
    if (request.getRawInputContentsCount() > 1) {
      throw new ApiException(Kind.BAD_REQUEST, "raw_input_contents must have one entry");
    }
    boolean bytes = tensor.getDatatype().equals("BYTES");
    if (request.getRawInputContentsCount() > 0) {
      var raw = request.getRawInputContents(0).asReadOnlyByteBuffer();
      return new Input(
          tensor.getName(),
          tensor.getDatatype(),
          tensor.getShapeList(),
          bytes ? new float[0] : InferenceJson.floats(raw),
          bytes ? InferenceJson.elements(raw, images) : List.of());
    }
    var contents = tensor.getContents();
    float[] numbers = new float[bytes ? 0 : contents.getFp32ContentsCount()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = contents.getFp32Contents(i);
    }
    List<ByteString> files = bytes ? contents.getBytesContentsList() : List.of();
    return new Input(
        tensor.getName(),
        tensor.getDatatype(),
        tensor.getShapeList(),
        numbers,
        files.stream().map(ByteString::toByteArray).toList());
  }
}
