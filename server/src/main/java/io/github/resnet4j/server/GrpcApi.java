package io.github.resnet4j.server;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.InferenceProtocol.Description;
import io.github.resnet4j.server.InferenceProtocol.Input;
import io.github.resnet4j.server.InferenceProtocol.Output;
import io.github.resnet4j.server.inference.InferParameter;
import io.github.resnet4j.server.inference.ModelInferRequest;
import io.github.resnet4j.server.inference.ModelInferResponse;
import io.github.resnet4j.server.inference.ModelMetadataRequest;
import io.github.resnet4j.server.inference.ModelMetadataResponse;
import io.github.resnet4j.server.inference.ModelReadyRequest;
import io.github.resnet4j.server.inference.ModelReadyResponse;
import io.github.resnet4j.server.inference.ServerLiveRequest;
import io.github.resnet4j.server.inference.ServerLiveResponse;
import io.github.resnet4j.server.inference.ServerMetadataRequest;
import io.github.resnet4j.server.inference.ServerMetadataResponse;
import io.github.resnet4j.server.inference.ServerReadyRequest;
import io.github.resnet4j.server.inference.ServerReadyResponse;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;

/** The Open Inference Protocol over gRPC. */
final class GrpcApi {
  private static final String SERVICE = "inference.GRPCInferenceService";
  private static final Set<String> HEALTH = Set.of("ServerLive", "ServerReady");
  private static final int MAX_METADATA_BYTES = 16 << 10;
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ServerOptions options;
  private final ModelRepository models;
  private final Metrics metrics;
  private final AccessLog log;
  private final AtomicInteger accepted;
  private final HttpApi api;

  GrpcApi(
      ServerOptions options,
      ModelRepository models,
      Metrics metrics,
      AccessLog log,
      AtomicInteger accepted,
      HttpApi api) {
    this.options = options;
    this.models = models;
    this.metrics = metrics;
    this.log = log;
    this.accepted = accepted;
    this.api = api;
  }

  Server start() throws IOException {
    var address = new InetSocketAddress(options.host(), options.grpcPort());
    ServerCredentials credentials =
        options.tls().isPresent()
            ? TlsServerCredentials.create(
                options.tls().get().certificate().toFile(), options.tls().get().key().toFile())
            : InsecureServerCredentials.create();
    return NettyServerBuilder.forAddress(address, credentials)
        .executor(Executors.newVirtualThreadPerTaskExecutor())
        .maxInboundMessageSize((int) options.limits().maxBodyBytes())
        .maxInboundMetadataSize(MAX_METADATA_BYTES)
        .maxConcurrentCallsPerConnection(options.batching().queueSize())
        .maxConnectionIdle(
            10 * options.limits().idleTimeout().toMillis() + 1, TimeUnit.MILLISECONDS)
        .addService(definition())
        .build()
        .start();
  }

  private ServerServiceDefinition definition() {
    var service = ServerServiceDefinition.builder(SERVICE);
    add(
        service,
        "ServerLive",
        ServerLiveRequest.parser(),
        ServerLiveResponse.getDefaultInstance(),
        _ -> ServerLiveResponse.newBuilder().setLive(true).build());
    add(
        service,
        "ServerReady",
        ServerReadyRequest.parser(),
        ServerReadyResponse.getDefaultInstance(),
        _ -> ServerReadyResponse.newBuilder().setReady(api.isReady()).build());
    add(
        service,
        "ModelReady",
        ModelReadyRequest.parser(),
        ModelReadyResponse.getDefaultInstance(),
        request -> ModelReadyResponse.newBuilder().setReady(isReady(request)).build());
    add(
        service,
        "ServerMetadata",
        ServerMetadataRequest.parser(),
        ServerMetadataResponse.getDefaultInstance(),
        _ ->
            ServerMetadataResponse.newBuilder()
                .setName(InferenceProtocol.SERVER)
                .setVersion(InferenceServer.version())
                .build());
    add(
        service,
        "ModelMetadata",
        ModelMetadataRequest.parser(),
        ModelMetadataResponse.getDefaultInstance(),
        this::metadata);
    service.addMethod(
        method("ModelInfer", ModelInferResponse.getDefaultInstance()),
        ServerCalls.asyncUnaryCall(this::infer));
    return ServerInterceptors.intercept(
        service.build(),
        new io.grpc.ServerInterceptor() {
          @Override
          public <A, B> io.grpc.ServerCall.Listener<A> interceptCall(
              io.grpc.ServerCall<A, B> call,
              Metadata headers,
              io.grpc.ServerCallHandler<A, B> next) {
            // As over HTTP, health checks need no token.
            String method = String.valueOf(call.getMethodDescriptor().getBareMethodName());
            if (HEALTH.contains(method) || isAuthorized(headers)) {
              return next.startCall(call, headers);
            }
            metrics.countError(Kind.UNAUTHORIZED);
            call.close(
                Status.UNAUTHENTICATED.withDescription("a bearer token is required"),
                new Metadata());
            return new io.grpc.ServerCall.Listener<>() {};
          }
        });
  }

  private boolean isAuthorized(Metadata headers) {
    return options
        .access()
        .isAuthorized(Optional.ofNullable(headers.get(AUTHORIZATION)).orElse(""));
  }

  private static <B extends Message> MethodDescriptor<byte[], B> method(String name, B response) {
    return MethodDescriptor.<byte[], B>newBuilder()
        .setType(MethodDescriptor.MethodType.UNARY)
        .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name))
        .setRequestMarshaller(GrpcMessages.BYTES)
        .setResponseMarshaller(ProtoUtils.marshaller(response))
        .build();
  }

  private <A extends Message, B extends Message> void add(
      ServerServiceDefinition.Builder service,
      String name,
      Parser<A> parser,
      B response,
      Function<A, B> handler) {
    service.addMethod(
        method(name, response),
        ServerCalls.<byte[], B>asyncUnaryCall((bytes, observer) ->
            respond(
                "grpc " + name, observer, () -> handler.apply(GrpcMessages.read(bytes, parser)))));
  }

  /** The computation of a response. */
  private interface Computation<B> {
    B run();
  }

  private <B> void respond(
      String endpoint, StreamObserver<B> observer, Computation<B> computation) {
    long begin = System.nanoTime();
    int status = Kind.INTERNAL.status;
    String error = "";
    try {
      B result = computation.run();
      observer.onNext(result);
      observer.onCompleted();
      status = 200;
    } catch (ApiException e) {
      status = e.kind().status;
      error = e.reason();
      metrics.countError(e.kind());
      observer.onError(status(e).asRuntimeException());
    } catch (Throwable e) { // includes Errors: every response is logged with its status
      error = e.toString();
      metrics.countError(Kind.INTERNAL);
      log.failure(endpoint, e);
      observer.onError(Status.INTERNAL.withDescription("internal error").asRuntimeException());
    } finally {
      long nanos = System.nanoTime() - begin;
      metrics.recordRequest(endpoint, status, nanos);
      var fields = new LinkedHashMap<String, Object>();
      fields.put("event", "request");
      fields.put("endpoint", endpoint);
      fields.put("status", status);
      if (!error.isEmpty()) {
        fields.put("error", error);
      }
      fields.put("duration_ms", Math.round(nanos / 1e4) / 100.0);
      log.request(fields);
    }
  }

  private static Status status(ApiException e) {
    Status status =
        switch (e.kind()) {
          case BAD_REQUEST, UNSUPPORTED_MEDIA_TYPE, METHOD_NOT_ALLOWED -> Status.INVALID_ARGUMENT;
          case TOO_LARGE -> Status.RESOURCE_EXHAUSTED;
          case UNAUTHORIZED -> Status.UNAUTHENTICATED;
          case FORBIDDEN -> Status.PERMISSION_DENIED;
          case NOT_FOUND -> Status.NOT_FOUND;
          case OVERLOADED, UNAVAILABLE -> Status.UNAVAILABLE;
          case DEADLINE_EXCEEDED -> Status.DEADLINE_EXCEEDED;
          case CLIENT_DISCONNECTED -> Status.CANCELLED;
          case INTERNAL -> Status.INTERNAL;
        };
    return status.withDescription(e.reason());
  }

  private boolean isReady(ModelReadyRequest request) {
    try {
      models.find(Optional.of(request.getName()), Optional.of(request.getVersion()));
      return true;
    } catch (ApiException e) {
      if (e.kind() == Kind.UNAVAILABLE) {
        return false;
      }
      throw e;
    }
  }

  private ModelMetadataResponse metadata(ModelMetadataRequest request) {
    ServedModel model =
        models.find(Optional.of(request.getName()), Optional.of(request.getVersion()));
    return ModelMetadataResponse.newBuilder()
        .setName(model.name())
        .addAllVersions(models.versions(model.name()))
        .setPlatform("resnet4j")
        .addAllInputs(describe(InferenceProtocol.inputs(model)))
        .addAllOutputs(describe(InferenceProtocol.outputs(model)))
        .build();
  }

  private static List<ModelMetadataResponse.TensorMetadata> describe(
      List<Description> descriptions) {
    return descriptions.stream()
        .map(each ->
            ModelMetadataResponse.TensorMetadata.newBuilder()
                .setName(each.name())
                .setDatatype(each.datatype())
                .addAllShape(each.shape())
                .build())
        .toList();
  }

  private void infer(byte[] bytes, StreamObserver<ModelInferResponse> observer) {
    respond(
        "grpc ModelInfer",
        observer,
        () -> {
          try {
            if (accepted.incrementAndGet() > options.batching().queueSize()) {
              throw Admission.overloaded();
            }
            return infer(
                GrpcMessages.inference(bytes, options.limits().maxImages()),
                (ServerCallStreamObserver<ModelInferResponse>) observer);
          } finally {
            accepted.decrementAndGet();
          }
        });
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

  private ModelInferResponse infer(
      ModelInferRequest request, ServerCallStreamObserver<ModelInferResponse> observer) {
    try (var lease =
        models.acquire(
            Optional.of(request.getModelName()), Optional.of(request.getModelVersion()))) {
      return infer(lease.model(), request, observer);
    }
  }

  private ModelInferResponse infer(
      ServedModel model,
      ModelInferRequest request,
      ServerCallStreamObserver<ModelInferResponse> observer) {
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
    List<Result> results =
        Batcher.await(
            InferenceProtocol.submit(model, input, deadline), deadline, observer::isCancelled);
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
