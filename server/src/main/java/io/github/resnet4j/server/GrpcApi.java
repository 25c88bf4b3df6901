package io.github.resnet4j.server;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.InferenceProtocol.Description;
import io.github.resnet4j.server.InferenceProtocol.Input;
import io.github.resnet4j.server.InferenceProtocol.Output;
import io.github.resnet4j.server.Refusal.Kind;
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
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;

/** The Open Inference Protocol over gRPC. */
final class GrpcApi {
  private static final String SERVICE = "inference.GRPCInferenceService";
  private static final int MOST_METADATA = 16 << 10;
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ServerOptions options;
  private final ModelRepository models;
  private final Measurements measurements;
  private final AccessLog log;
  private final AtomicInteger accepted;
  private final HttpApi api;

  GrpcApi(
      ServerOptions options,
      ModelRepository models,
      Measurements measurements,
      AccessLog log,
      AtomicInteger accepted,
      HttpApi api) {
    this.options = options;
    this.models = models;
    this.measurements = measurements;
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
        .maxInboundMessageSize((int) options.limits().body())
        .maxInboundMetadataSize(MOST_METADATA)
        .maxConcurrentCallsPerConnection(options.batching().queue())
        .maxConnectionIdle(10 * options.limits().idle().toSeconds(), TimeUnit.SECONDS)
        .addService(definition())
        .build()
        .start();
  }

  private ServerServiceDefinition definition() {
    var service = ServerServiceDefinition.builder(SERVICE);
    add(
        service,
        "ServerLive",
        ServerLiveRequest.getDefaultInstance(),
        ServerLiveResponse.getDefaultInstance(),
        _ -> ServerLiveResponse.newBuilder().setLive(true).build());
    add(
        service,
        "ServerReady",
        ServerReadyRequest.getDefaultInstance(),
        ServerReadyResponse.getDefaultInstance(),
        _ -> ServerReadyResponse.newBuilder().setReady(api.isReady()).build());
    add(
        service,
        "ModelReady",
        ModelReadyRequest.getDefaultInstance(),
        ModelReadyResponse.getDefaultInstance(),
        request -> ModelReadyResponse.newBuilder().setReady(isReady(request)).build());
    add(
        service,
        "ServerMetadata",
        ServerMetadataRequest.getDefaultInstance(),
        ServerMetadataResponse.getDefaultInstance(),
        _ ->
            ServerMetadataResponse.newBuilder()
                .setName(InferenceProtocol.SERVER)
                .setVersion(InferenceServer.version())
                .build());
    add(
        service,
        "ModelMetadata",
        ModelMetadataRequest.getDefaultInstance(),
        ModelMetadataResponse.getDefaultInstance(),
        this::metadata);
    service.addMethod(
        method(
            "ModelInfer",
            ModelInferRequest.getDefaultInstance(),
            ModelInferResponse.getDefaultInstance()),
        ServerCalls.asyncUnaryCall(this::infer));
    return ServerInterceptors.intercept(
        service.build(),
        new io.grpc.ServerInterceptor() {
          @Override
          public <A, B> io.grpc.ServerCall.Listener<A> interceptCall(
              io.grpc.ServerCall<A, B> call,
              Metadata headers,
              io.grpc.ServerCallHandler<A, B> next) {
            if (isAuthorized(headers)) {
              return next.startCall(call, headers);
            }
            measurements.refused(Kind.UNAUTHORIZED);
            call.close(
                Status.UNAUTHENTICATED.withDescription("a bearer token is needed"), new Metadata());
            return new io.grpc.ServerCall.Listener<>() {};
          }
        });
  }

  private boolean isAuthorized(Metadata headers) {
    return options.access().admits(Optional.ofNullable(headers.get(AUTHORIZATION)).orElse(""));
  }

  private static <A extends Message, B extends Message> MethodDescriptor<A, B> method(
      String name, A request, B response) {
    return MethodDescriptor.<A, B>newBuilder()
        .setType(MethodDescriptor.MethodType.UNARY)
        .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name))
        .setRequestMarshaller(ProtoUtils.marshaller(request))
        .setResponseMarshaller(ProtoUtils.marshaller(response))
        .build();
  }

  private <A extends Message, B extends Message> void add(
      ServerServiceDefinition.Builder service,
      String name,
      A request,
      B response,
      Function<A, B> answer) {
    service.addMethod(
        method(name, request, response),
        ServerCalls.<A, B>asyncUnaryCall(
            (asked, observer) -> answered("grpc " + name, observer, () -> answer.apply(asked))));
  }

  /** What is answered, once, with its numbers and its line in the log. */
  private interface Work<B> {
    B run();
  }

  private <B> void answered(String endpoint, StreamObserver<B> observer, Work<B> work) {
    long begin = System.nanoTime();
    int status = 200;
    try {
      B result = work.run();
      observer.onNext(result);
      observer.onCompleted();
    } catch (Refusal refusal) {
      status = refusal.kind().status;
      measurements.refused(refusal.kind());
      observer.onError(status(refusal).asRuntimeException());
    } catch (RuntimeException e) {
      status = Kind.FAILED.status;
      measurements.refused(Kind.FAILED);
      log.failure(endpoint, e);
      observer.onError(Status.INTERNAL.withDescription("the server failed").asRuntimeException());
    } finally {
      long took = System.nanoTime() - begin;
      measurements.answered(endpoint, status, took);
      log.request(
          Map.of(
              "event",
              "request",
              "endpoint",
              endpoint,
              "status",
              status,
              "ms",
              Math.round(took / 1e4) / 100.0));
    }
  }

  private static Status status(Refusal refusal) {
    Status status =
        switch (refusal.kind()) {
          case BAD_REQUEST, UNSUPPORTED, WRONG_METHOD -> Status.INVALID_ARGUMENT;
          case TOO_LARGE -> Status.RESOURCE_EXHAUSTED;
          case UNAUTHORIZED -> Status.UNAUTHENTICATED;
          case FORBIDDEN -> Status.PERMISSION_DENIED;
          case NOT_FOUND -> Status.NOT_FOUND;
          case BUSY, NOT_READY -> Status.UNAVAILABLE;
          case TOO_LATE -> Status.DEADLINE_EXCEEDED;
          case GONE -> Status.CANCELLED;
          case FAILED -> Status.INTERNAL;
        };
    return status.withDescription(refusal.reason());
  }

  private boolean isReady(ModelReadyRequest request) {
    try {
      models.find(Optional.of(request.getName()), Optional.of(request.getVersion()));
      return true;
    } catch (Refusal refusal) {
      if (refusal.kind() == Kind.NOT_READY) {
        return false;
      }
      throw refusal;
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

  private void infer(ModelInferRequest request, StreamObserver<ModelInferResponse> observer) {
    answered(
        "grpc ModelInfer",
        observer,
        () -> {
          try {
            if (accepted.incrementAndGet() > options.batching().queue()) {
              throw new Refusal(Kind.BUSY, "too many requests; try again in a second");
            }
            return infer(request, (ServerCallStreamObserver<ModelInferResponse>) observer);
          } finally {
            accepted.decrementAndGet();
          }
        });
  }

  private ModelInferResponse infer(
      ModelInferRequest request, ServerCallStreamObserver<ModelInferResponse> observer) {
    long deadline = System.nanoTime() + options.limits().deadline().toNanos();
    var context = io.grpc.Context.current().getDeadline();
    if (context != null) {
      deadline =
          Math.min(deadline, System.nanoTime() + context.timeRemaining(TimeUnit.NANOSECONDS));
    }
    InferParameter timeout = request.getParametersMap().get("timeout");
    if (timeout != null && timeout.getInt64Param() > 0) {
      deadline =
          Math.min(
              deadline, System.nanoTime() + TimeUnit.MICROSECONDS.toNanos(timeout.getInt64Param()));
    }
    ServedModel model =
        models.find(Optional.of(request.getModelName()), Optional.of(request.getModelVersion()));
    Input input = input(request);
    int images = InferenceProtocol.images(model, input);
    if (images > options.limits().images()) {
      throw new Refusal(
          Kind.TOO_LARGE, "%d images, at most %d".formatted(images, options.limits().images()));
    }
    List<String> wanted =
        request.getOutputsList().stream()
            .map(ModelInferRequest.InferRequestedOutputTensor::getName)
            .toList();
    InferenceProtocol.check(wanted);
    List<Result> results =
        Batcher.await(
            InferenceProtocol.begin(model, input, deadline), deadline, observer::isCancelled);
    var response =
        ModelInferResponse.newBuilder()
            .setModelName(model.name())
            .setModelVersion(model.version())
            .setId(request.getId());
    for (Output output : InferenceProtocol.finish(wanted, results)) {
      response.addOutputs(
          ModelInferResponse.InferOutputTensor.newBuilder()
              .setName(output.name())
              .setDatatype("FP32")
              .addAllShape(output.shape()));
      response.addRawOutputContents(ByteString.copyFrom(InferenceJson.bytes(output.numbers())));
    }
    return response.build();
  }

  private static Input input(ModelInferRequest request) {
    if (request.getInputsCount() != 1) {
      throw new Refusal(
          Kind.BAD_REQUEST, "inputs must have one entry, has " + request.getInputsCount());
    }
    var tensor = request.getInputs(0);
    boolean bytes = tensor.getDatatype().equals("BYTES");
    if (request.getRawInputContentsCount() > 0) {
      var raw = request.getRawInputContents(0).asReadOnlyByteBuffer();
      return new Input(
          tensor.getName(),
          tensor.getDatatype(),
          tensor.getShapeList(),
          bytes ? new float[0] : InferenceJson.floats(raw),
          bytes ? InferenceJson.elements(raw) : List.of());
    }
    var contents = tensor.getContents();
    float[] numbers = new float[contents.getFp32ContentsCount()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = contents.getFp32Contents(i);
    }
    return new Input(
        tensor.getName(),
        tensor.getDatatype(),
        tensor.getShapeList(),
        numbers,
        contents.getBytesContentsList().stream().map(ByteString::toByteArray).toList());
  }
}
