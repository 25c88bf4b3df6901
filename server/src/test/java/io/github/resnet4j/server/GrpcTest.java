package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.Message;
import io.github.resnet4j.server.inference.InferParameter;
import io.github.resnet4j.server.inference.InferTensorContents;
import io.github.resnet4j.server.inference.ModelConfigRequest;
import io.github.resnet4j.server.inference.ModelConfigResponse;
import io.github.resnet4j.server.inference.ModelInferRequest;
import io.github.resnet4j.server.inference.ModelInferResponse;
import io.github.resnet4j.server.inference.ModelReadyRequest;
import io.github.resnet4j.server.inference.ModelReadyResponse;
import io.github.resnet4j.server.inference.ModelRepositoryParameter;
import io.github.resnet4j.server.inference.ModelStatisticsRequest;
import io.github.resnet4j.server.inference.ModelStatisticsResponse;
import io.github.resnet4j.server.inference.RepositoryIndexRequest;
import io.github.resnet4j.server.inference.RepositoryIndexResponse;
import io.github.resnet4j.server.inference.RepositoryModelLoadRequest;
import io.github.resnet4j.server.inference.RepositoryModelLoadResponse;
import io.github.resnet4j.server.inference.RepositoryModelUnloadRequest;
import io.github.resnet4j.server.inference.RepositoryModelUnloadResponse;
import io.github.resnet4j.server.inference.ServerReadyRequest;
import io.github.resnet4j.server.inference.ServerReadyResponse;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.reflection.v1.ServiceResponse;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Open Inference Protocol over gRPC. */
class GrpcTest {
  @TempDir private Path folder;
  private Client client;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws IOException {
    open(Client.options(folder));
  }

  private void open(ServerOptions options) throws IOException {
    open(new Client(options));
  }

  private void open(Client opened) {
    client = opened;
    channel =
        NettyChannelBuilder.forAddress("127.0.0.1", client.server.grpcPort())
            .usePlaintext()
            .build();
  }

  @AfterEach
  void stop() throws Exception {
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    client.close();
  }

  private <A extends Message, B extends Message> B call(String method, A request, B response) {
    return call(method, request, response, CallOptions.DEFAULT);
  }

  private <A extends Message, B extends Message> B call(
      String method, A request, B response, CallOptions options) {
    @SuppressWarnings("unchecked") // the default instance of a request's class is one of it
    var descriptor =
        MethodDescriptor.<A, B>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName("inference.GRPCInferenceService/" + method)
            .setRequestMarshaller(
                (MethodDescriptor.Marshaller<A>)
                    ProtoUtils.marshaller(request.getDefaultInstanceForType()))
            .setResponseMarshaller(ProtoUtils.marshaller(response))
            .build();
    return ClientCalls.blockingUnaryCall(channel, descriptor, options, request);
  }

  private static ModelInferRequest images(int... digits) throws IOException {
    var raw = new java.io.ByteArrayOutputStream();
    for (int digit : digits) {
      byte[] file = Client.digit(digit);
      raw.write(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(file.length).array());
      raw.write(file);
    }
    return ModelInferRequest.newBuilder()
        .setModelName("digits")
        .setId("abc")
        .addInputs(
            ModelInferRequest.InferInputTensor.newBuilder()
                .setName("encoded_images")
                .setDatatype("BYTES")
                .addShape(digits.length))
        .addRawInputContents(ByteString.copyFrom(raw.toByteArray()))
        .build();
  }

  @Test
  void imagesAreClassified() throws IOException {
    assertTrue(
        call(
                "ServerReady",
                ServerReadyRequest.getDefaultInstance(),
                ServerReadyResponse.getDefaultInstance())
            .getReady());
    assertTrue(
        call(
                "ModelReady",
                ModelReadyRequest.newBuilder().setName("digits").build(),
                ModelReadyResponse.getDefaultInstance())
            .getReady());
    var response = call("ModelInfer", images(4, 7), ModelInferResponse.getDefaultInstance());
    assertEquals("abc", response.getId());
    assertEquals(List.of(2L, 10L), response.getOutputs(0).getShapeList());
    float[] logits = InferenceJson.floats(response.getRawOutputContents(0).asReadOnlyByteBuffer());
    for (int i = 0; i < 2; i++) {
      int best = 0;
      for (int c = 1; c < 10; c++) {
        best = logits[10 * i + c] > logits[10 * i + best] ? c : best;
      }
      assertEquals(i == 0 ? 4 : 7, best);
    }
  }

  @Test
  void modelWithoutHeadReturnsItsEmbedding() throws Exception {
    ModelInferRequest.Builder request = images(6).toBuilder();
    var output = ModelInferRequest.InferRequestedOutputTensor.newBuilder();
    ModelInferRequest embedding =
        request.clone().addOutputs(output.setName("embedding").build()).build();
    var expected = call("ModelInfer", embedding, ModelInferResponse.getDefaultInstance());
    stop();
    open(new Client(Client.options(folder), Map.of("digits", HeadlessModelTest.withoutHead())));
    var found = call("ModelInfer", request.build(), ModelInferResponse.getDefaultInstance());
    assertEquals("embedding", found.getOutputs(0).getName());
    assertEquals(expected.getOutputsList(), found.getOutputsList());
    assertEquals(expected.getRawOutputContentsList(), found.getRawOutputContentsList());
    ModelInferRequest logits = request.clone().addOutputs(output.setName("logits").build()).build();
    assertEquals(Status.Code.INVALID_ARGUMENT, errorCode(logits, CallOptions.DEFAULT));
  }

  private Status.Code errorCode(ModelInferRequest request, CallOptions options) {
    return assertThrows(
            StatusRuntimeException.class,
            () -> call("ModelInfer", request, ModelInferResponse.getDefaultInstance(), options))
        .getStatus()
        .getCode();
  }

  @Test
  void errorsHaveTheirStatusCode() throws IOException {
    CallOptions usual = CallOptions.DEFAULT;
    assertEquals(
        Status.Code.NOT_FOUND,
        errorCode(images(1).toBuilder().setModelName("cats").build(), usual));
    assertEquals(
        Status.Code.INVALID_ARGUMENT,
        errorCode(images(1).toBuilder().clearInputs().build(), usual));
    assertEquals(
        Status.Code.INVALID_ARGUMENT,
        errorCode(
            images(1).toBuilder().setRawInputContents(0, ByteString.copyFromUtf8("abcdef")).build(),
            usual));
    assertEquals(
        Status.Code.DEADLINE_EXCEEDED,
        errorCode(images(1), usual.withDeadlineAfter(1, TimeUnit.NANOSECONDS)));
  }

  private Status.Code errorCode(byte[] message) {
    var method =
        MethodDescriptor.<byte[], ModelInferResponse>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName("inference.GRPCInferenceService/ModelInfer")
            .setRequestMarshaller(GrpcMessages.BYTES)
            .setResponseMarshaller(ProtoUtils.marshaller(ModelInferResponse.getDefaultInstance()))
            .build();
    return assertThrows(
            StatusRuntimeException.class,
            () -> ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT, message))
        .getStatus()
        .getCode();
  }

  @Test
  void invalidBytesAreAnInvalidArgument() throws IOException {
    byte[] good = images(1).toByteArray();
    for (byte[] each :
        List.of(
            new byte[] {1, 2, 3, 4},
            new byte[] {(byte) 0xff, (byte) 0xff},
            new byte[100],
            "POST / HTTP/1.1".getBytes(StandardCharsets.US_ASCII),
            Arrays.copyOf(good, good.length - 10))) {
      assertEquals(Status.Code.INVALID_ARGUMENT, errorCode(each), Arrays.toString(each));
    }
  }

  /** Repeated fields are counted before the message is parsed. */
  @Test
  void tooManyRepeatedFieldsAreRejected() throws IOException {
    ModelInferRequest one = images(1);
    var output =
        ModelInferRequest.InferRequestedOutputTensor.newBuilder().setName("logits").build();
    var twice = one.toBuilder().addOutputs(output).addOutputs(output).build();
    var often = one.toBuilder();
    for (int i = 0; i < 1_000_000; i++) {
      often.addOutputs(output);
    }
    var input = one.getInputs(0).toBuilder();
    var tensors = one.toBuilder().addInputs(input);
    var parameters = one.toBuilder();
    for (int i = 0; i < 300; i++) {
      parameters.putParameters("p" + i, InferParameter.getDefaultInstance());
    }
    var shape = one.toBuilder().setInputs(0, input.clone().addAllShape(ones(100_000)));
    var contents = InferTensorContents.newBuilder().addAllInt64Contents(ones(100_000));
    var numbers = one.toBuilder().setInputs(0, input.clone().setContents(contents));
    var raw = one.toBuilder().addRawInputContents(ByteString.EMPTY);
    for (var request :
        List.of(
            twice,
            often.build(),
            tensors.build(),
            parameters.build(),
            shape.build(),
            numbers.build(),
            raw.build())) {
      assertEquals(Status.Code.INVALID_ARGUMENT, errorCode(request.toByteArray()));
    }
    call("ModelInfer", one, ModelInferResponse.getDefaultInstance());
  }

  private static List<Long> ones(int count) {
    return Collections.nCopies(count, 1L);
  }

  @Test
  void overflowingShapesAreInvalidArguments() throws IOException {
    long most = Long.MAX_VALUE;
    for (List<Long> shape :
        List.of(
            List.of(most, most), // the product overflows to 1
            List.of(-1L, -1L),
            List.of(1L << 32, 1L << 32),
            List.of(0L),
            List.<Long>of())) {
      ModelInferRequest one = images(1);
      var input = one.getInputs(0).toBuilder().clearShape().addAllShape(shape);
      assertEquals(
          Status.Code.INVALID_ARGUMENT,
          errorCode(one.toBuilder().setInputs(0, input).build(), CallOptions.DEFAULT),
          shape.toString());
    }
    var images =
        ModelInferRequest.InferInputTensor.newBuilder()
            .setName("images")
            .setDatatype("FP32")
            .addAllShape(List.of(1L << 61, 3L, 32L, 32L));
    assertEquals(
        Status.Code.INVALID_ARGUMENT,
        errorCode(
            ModelInferRequest.newBuilder().setModelName("digits").addInputs(images).build(),
            CallOptions.DEFAULT));
  }

  @Test
  void anyTimeoutIsAccepted() throws IOException {
    var forever = InferParameter.newBuilder().setInt64Param(Long.MAX_VALUE).build();
    var request = images(1).toBuilder().putParameters("timeout", forever).build();
    call("ModelInfer", request, ModelInferResponse.getDefaultInstance());
  }

  /** The same numbers as over HTTP; the fields' numbers are compared by Triton's clients. */
  @Test
  void configurationAndStatistics() throws Exception {
    call("ModelInfer", images(4, 7), ModelInferResponse.getDefaultInstance());
    var config =
        call(
                "ModelConfig",
                ModelConfigRequest.newBuilder().setName("digits").build(),
                ModelConfigResponse.getDefaultInstance())
            .getConfig();
    assertEquals(client.get("/v2/models/digits/config").json().toString(), json(config));
    var statistics =
        call(
            "ModelStatistics",
            ModelStatisticsRequest.getDefaultInstance(),
            ModelStatisticsResponse.getDefaultInstance());
    assertEquals(2, statistics.getModelStats(0).getInferenceCount());
    assertEquals(1, statistics.getModelStats(0).getInferenceStats().getSuccess().getCount());
    assertEquals(client.get("/v2/models/digits/stats").json().toString(), json(statistics));
    errorCode(images(1).toBuilder().clearInputs().build(), CallOptions.DEFAULT);
    var failed =
        call(
            "ModelStatistics",
            ModelStatisticsRequest.newBuilder().setName("digits").setVersion("1").build(),
            ModelStatisticsResponse.getDefaultInstance());
    assertEquals(1, failed.getModelStats(0).getInferenceStats().getFail().getCount());
  }

  private static String json(Message message) {
    return TritonExtensions.toJson(message).toString();
  }

  @Test
  void modelsAreListedUnloadedAndLoaded() {
    var unloading = RepositoryModelUnloadRequest.newBuilder().setModelName("digits").build();
    call("RepositoryModelUnload", unloading, RepositoryModelUnloadResponse.getDefaultInstance());
    assertEquals("UNAVAILABLE", index(false).getModels(0).getState());
    assertEquals(0, index(true).getModelsCount());
    var loading = RepositoryModelLoadRequest.newBuilder().setModelName("digits");
    var configured = loading.clone().putParameters("config", parameter("{}")).build();
    var loaded = RepositoryModelLoadResponse.getDefaultInstance();
    var error =
        assertThrows(
            StatusRuntimeException.class, () -> call("RepositoryModelLoad", configured, loaded));
    assertEquals(Status.Code.INVALID_ARGUMENT, error.getStatus().getCode());
    call("RepositoryModelLoad", loading.build(), loaded);
    assertEquals("READY", index(true).getModels(0).getState());
    assertEquals("1", index(true).getModels(0).getVersion());
  }

  private static ModelRepositoryParameter parameter(String value) {
    return ModelRepositoryParameter.newBuilder().setStringParam(value).build();
  }

  private RepositoryIndexResponse index(boolean ready) {
    return call(
        "RepositoryIndex",
        RepositoryIndexRequest.newBuilder().setReady(ready).build(),
        RepositoryIndexResponse.getDefaultInstance());
  }

  @Test
  void healthFollowsTheModels() throws Exception {
    var health = HealthGrpc.newBlockingStub(channel);
    var server = HealthCheckRequest.getDefaultInstance();
    var service = server.toBuilder().setService("inference.GRPCInferenceService").build();
    assertEquals(ServingStatus.SERVING, health.check(server).getStatus());
    assertEquals(ServingStatus.SERVING, health.check(service).getStatus());
    var unknown = server.toBuilder().setService("cats").build();
    var error = assertThrows(StatusRuntimeException.class, () -> health.check(unknown));
    assertEquals(Status.Code.NOT_FOUND, error.getStatus().getCode());

    var watched = health.withDeadlineAfter(1, TimeUnit.MINUTES).watch(service);
    assertEquals(ServingStatus.SERVING, watched.next().getStatus());
    var unloading = RepositoryModelUnloadRequest.newBuilder().setModelName("digits").build();
    call("RepositoryModelUnload", unloading, RepositoryModelUnloadResponse.getDefaultInstance());
    assertEquals(ServingStatus.NOT_SERVING, watched.next().getStatus());
    var loading = RepositoryModelLoadRequest.newBuilder().setModelName("digits").build();
    call("RepositoryModelLoad", loading, RepositoryModelLoadResponse.getDefaultInstance());
    assertEquals(ServingStatus.SERVING, watched.next().getStatus());
    client.server.close();
    assertEquals(ServingStatus.NOT_SERVING, watched.next().getStatus());
  }

  /** Messages to the services of gRPC itself have one short name; larger ones are not parsed. */
  @Test
  void healthRequestsAreSmall() {
    var health = HealthGrpc.newBlockingStub(channel);
    var large = HealthCheckRequest.newBuilder().setService("x".repeat(5000)).build();
    var error = assertThrows(StatusRuntimeException.class, () -> health.check(large));
    assertNotEquals(Status.Code.NOT_FOUND, error.getStatus().getCode());
    assertEquals(
        ServingStatus.SERVING, health.check(HealthCheckRequest.getDefaultInstance()).getStatus());
  }

  @Test
  void reflectionDescribesTheServices() throws Exception {
    var services =
        reflect(ServerReflectionRequest.newBuilder().setListServices("").build())
            .getListServicesResponse()
            .getServiceList();
    assertEquals(
        List.of(
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "inference.GRPCInferenceService"),
        services.stream().map(ServiceResponse::getName).sorted().toList());
    var symbol =
        ServerReflectionRequest.newBuilder()
            .setFileContainingSymbol("inference.GRPCInferenceService")
            .build();
    var file = reflect(symbol).getFileDescriptorResponse().getFileDescriptorProto(0);
    assertEquals("inference", FileDescriptorProto.parseFrom(file).getPackage());
  }

  private ServerReflectionResponse reflect(ServerReflectionRequest request) throws Exception {
    var found = new CompletableFuture<ServerReflectionResponse>();
    var requests =
        ServerReflectionGrpc.newStub(channel)
            .serverReflectionInfo(
                new StreamObserver<>() {
                  @Override
                  public void onNext(ServerReflectionResponse response) {
                    found.complete(response);
                  }

                  @Override
                  public void onError(Throwable e) {
                    found.completeExceptionally(e);
                  }

                  @Override
                  public void onCompleted() {}
                });
    requests.onNext(request);
    ServerReflectionResponse response = found.get(1, TimeUnit.MINUTES);
    requests.onCompleted();
    return response;
  }

  private ManagedChannel with(String authorization) {
    var headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), authorization);
    return NettyChannelBuilder.forAddress("127.0.0.1", client.server.grpcPort())
        .usePlaintext()
        .intercept(MetadataUtils.newAttachHeadersInterceptor(headers))
        .build();
  }

  @Test
  void tokenIsRequiredExceptForHealth() throws Exception {
    stop();
    ServerOptions usual = Client.options(folder);
    open(
        new ServerOptions(
            usual.host(),
            0,
            0,
            usual.models(),
            usual.batching(),
            usual.limits(),
            Access.DEFAULT.withToken("0123456789abcdef"),
            usual.tls(),
            usual.accessLog(),
            Duration.ofSeconds(5),
            usual.compile()));
    assertEquals(Status.Code.UNAUTHENTICATED, errorCode(images(1), CallOptions.DEFAULT));
    assertTrue(
        call(
                "ServerReady",
                ServerReadyRequest.getDefaultInstance(),
                ServerReadyResponse.getDefaultInstance())
            .getReady());
    var health = HealthGrpc.newBlockingStub(channel);
    assertEquals(
        ServingStatus.SERVING, health.check(HealthCheckRequest.getDefaultInstance()).getStatus());
    for (String scheme : List.of("Bearer", "bearer", "BEARER ")) {
      channel.shutdownNow();
      channel = with(scheme + " 0123456789abcdef");
      call("ModelInfer", images(1), ModelInferResponse.getDefaultInstance());
    }
    channel.shutdownNow();
    channel = with("bearer 0123456789abcdeg");
    assertEquals(Status.Code.UNAUTHENTICATED, errorCode(images(1), CallOptions.DEFAULT));
  }
}
