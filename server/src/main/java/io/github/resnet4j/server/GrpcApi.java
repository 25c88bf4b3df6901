package io.github.resnet4j.server;

import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.InferenceProtocol.Description;
import io.github.resnet4j.server.inference.Inference;
import io.github.resnet4j.server.inference.ModelConfigRequest;
import io.github.resnet4j.server.inference.ModelConfigResponse;
import io.github.resnet4j.server.inference.ModelInferResponse;
import io.github.resnet4j.server.inference.ModelMetadataRequest;
import io.github.resnet4j.server.inference.ModelMetadataResponse;
import io.github.resnet4j.server.inference.ModelReadyRequest;
import io.github.resnet4j.server.inference.ModelReadyResponse;
import io.github.resnet4j.server.inference.ModelStatisticsRequest;
import io.github.resnet4j.server.inference.ModelStatisticsResponse;
import io.github.resnet4j.server.inference.RepositoryIndexRequest;
import io.github.resnet4j.server.inference.RepositoryIndexResponse;
import io.github.resnet4j.server.inference.RepositoryModelLoadRequest;
import io.github.resnet4j.server.inference.RepositoryModelLoadResponse;
import io.github.resnet4j.server.inference.RepositoryModelUnloadRequest;
import io.github.resnet4j.server.inference.RepositoryModelUnloadResponse;
import io.github.resnet4j.server.inference.ServerLiveRequest;
import io.github.resnet4j.server.inference.ServerLiveResponse;
import io.github.resnet4j.server.inference.ServerMetadataRequest;
import io.github.resnet4j.server.inference.ServerMetadataResponse;
import io.github.resnet4j.server.inference.ServerReadyRequest;
import io.github.resnet4j.server.inference.ServerReadyResponse;
import io.grpc.MethodDescriptor;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.protobuf.ProtoFileDescriptorSupplier;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** The Open Inference Protocol over gRPC, with Triton's extensions. */
final class GrpcApi {
  static final String SERVICE = "inference.GRPCInferenceService";

  private final ServerOptions options;
  private final ModelRepository models;
  private final Metrics metrics;
  private final AccessLog log;
  private final AtomicInteger accepted;
  private final GrpcInference inference;
  private final InferenceApi api;

  GrpcApi(
      ServerOptions options,
      ModelRepository models,
      Metrics metrics,
      AccessLog log,
      AtomicInteger accepted,
      InferenceApi api) {
    this.options = options;
    this.models = models;
    this.metrics = metrics;
    this.log = log;
    this.accepted = accepted;
    this.inference = new GrpcInference(options, models, metrics);
    this.api = api;
  }

  ServerServiceDefinition definition() {
    var service = new ArrayList<ServerMethodDefinition<byte[], ?>>();
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
                .addAllExtensions(InferenceProtocol.EXTENSIONS)
                .build());
    add(
        service,
        "ModelMetadata",
        ModelMetadataRequest.parser(),
        ModelMetadataResponse.getDefaultInstance(),
        this::metadata);
    add(
        service,
        "ModelConfig",
        ModelConfigRequest.parser(),
        ModelConfigResponse.getDefaultInstance(),
        this::config);
    add(
        service,
        "ModelStatistics",
        ModelStatisticsRequest.parser(),
        ModelStatisticsResponse.getDefaultInstance(),
        this::statistics);
    add(
        service,
        "RepositoryIndex",
        RepositoryIndexRequest.parser(),
        RepositoryIndexResponse.getDefaultInstance(),
        this::index);
    add(
        service,
        "RepositoryModelLoad",
        RepositoryModelLoadRequest.parser(),
        RepositoryModelLoadResponse.getDefaultInstance(),
        this::load);
    add(
        service,
        "RepositoryModelUnload",
        RepositoryModelUnloadRequest.parser(),
        RepositoryModelUnloadResponse.getDefaultInstance(),
        this::unload);
    service.add(
        ServerMethodDefinition.create(
            method("ModelInfer", ModelInferResponse.getDefaultInstance()),
            ServerCalls.asyncUnaryCall(this::infer)));
    ProtoFileDescriptorSupplier schema = Inference::getDescriptor;
    return service(SERVICE, schema, service);
  }

  /**
   * A service of methods.
   *
   * @param schema describes it, for reflection
   */
  static ServerServiceDefinition service(
      String name, @Nullable Object schema, List<? extends ServerMethodDefinition<?, ?>> methods) {
    var descriptor = ServiceDescriptor.newBuilder(name).setSchemaDescriptor(schema);
    methods.forEach(method -> descriptor.addMethod(method.getMethodDescriptor()));
    var definition = ServerServiceDefinition.builder(descriptor.build());
    methods.forEach(definition::addMethod);
    return definition.build();
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
      List<ServerMethodDefinition<byte[], ?>> service,
      String name,
      Parser<A> parser,
      B response,
      Function<A, B> handler) {
    service.add(
        ServerMethodDefinition.create(
            method(name, response),
            ServerCalls.<byte[], B>asyncUnaryCall((bytes, observer) ->
                respond(
                    "grpc " + name,
                    observer,
                    () -> handler.apply(GrpcMessages.read(bytes, parser))))));
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

  private ModelConfigResponse config(ModelConfigRequest request) {
    ServedModel model =
        models.find(Optional.of(request.getName()), Optional.of(request.getVersion()));
    return ModelConfigResponse.newBuilder()
        .setConfig(TritonExtensions.config(model, options.batching()))
        .build();
  }

  private ModelStatisticsResponse statistics(ModelStatisticsRequest request) {
    var response = ModelStatisticsResponse.newBuilder();
    for (ServedModel model : models.find(request.getName(), request.getVersion())) {
      response.addModelStats(TritonExtensions.statistics(model));
    }
    return response.build();
  }

  private RepositoryIndexResponse index(RepositoryIndexRequest request) {
    requireDefaultRepository(request.getRepositoryName());
    var response = RepositoryIndexResponse.newBuilder();
    for (var each : models.list()) {
      if (each.ready() || !request.getReady()) {
        response.addModels(
            RepositoryIndexResponse.ModelIndex.newBuilder()
                .setName(each.name())
                .setVersion(each.version())
                .setState(each.state())
                .setReason(each.reason()));
      }
    }
    return response.build();
  }

  private RepositoryModelLoadResponse load(RepositoryModelLoadRequest request) {
    requireDefaultRepository(request.getRepositoryName());
    if (request.getParametersCount() > 0) { // another configuration, or files, in the request
      throw new ApiException(
          Kind.BAD_REQUEST,
          "load has no parameters: a model is loaded as it is in the server's folder");
    }
    models.load(request.getModelName());
    return RepositoryModelLoadResponse.getDefaultInstance();
  }

  private RepositoryModelUnloadResponse unload(RepositoryModelUnloadRequest request) {
    requireDefaultRepository(request.getRepositoryName());
    models.unload(request.getModelName());
    return RepositoryModelUnloadResponse.getDefaultInstance();
  }

  private static void requireDefaultRepository(String name) {
    if (!name.isEmpty()) {
      throw new ApiException(
          Kind.BAD_REQUEST, "the server has one repository; repository_name must be empty");
    }
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
            var call = (ServerCallStreamObserver<ModelInferResponse>) observer;
            return inference.run(
                GrpcMessages.inference(bytes, options.limits().maxImages()), call::isCancelled);
          } finally {
            accepted.decrementAndGet();
          }
        });
  }
}
