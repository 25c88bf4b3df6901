package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import io.github.resnet4j.server.inference.ModelInferRequest;
import io.github.resnet4j.server.inference.ModelInferResponse;
import io.github.resnet4j.server.inference.ModelReadyRequest;
import io.github.resnet4j.server.inference.ModelReadyResponse;
import io.github.resnet4j.server.inference.ServerReadyRequest;
import io.github.resnet4j.server.inference.ServerReadyResponse;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The protocol over gRPC. */
class GrpcTest {
  @TempDir private Path folder;
  private Client client;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws IOException {
    open(Client.options(folder));
  }

  private void open(ServerOptions options) throws IOException {
    client = new Client(options);
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

  private static ModelInferRequest pictures(int... digits) throws IOException {
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
                .setName("pictures")
                .setDatatype("BYTES")
                .addShape(digits.length))
        .addRawInputContents(ByteString.copyFrom(raw.toByteArray()))
        .build();
  }

  @Test
  void picturesAreClassified() throws IOException {
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
    var response = call("ModelInfer", pictures(4, 7), ModelInferResponse.getDefaultInstance());
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

  private Status.Code refused(ModelInferRequest request, CallOptions options) {
    return assertThrows(
            StatusRuntimeException.class,
            () -> call("ModelInfer", request, ModelInferResponse.getDefaultInstance(), options))
        .getStatus()
        .getCode();
  }

  @Test
  void refusalsHaveTheirStatus() throws IOException {
    CallOptions usual = CallOptions.DEFAULT;
    assertEquals(
        Status.Code.NOT_FOUND,
        refused(pictures(1).toBuilder().setModelName("cats").build(), usual));
    assertEquals(
        Status.Code.INVALID_ARGUMENT,
        refused(pictures(1).toBuilder().clearInputs().build(), usual));
    assertEquals(
        Status.Code.INVALID_ARGUMENT,
        refused(
            pictures(1).toBuilder()
                .setRawInputContents(0, ByteString.copyFromUtf8("abcdef"))
                .build(),
            usual));
    assertEquals(
        Status.Code.DEADLINE_EXCEEDED,
        refused(pictures(1), usual.withDeadlineAfter(1, TimeUnit.NANOSECONDS)));
  }

  @Test
  void aTokenIsAskedForHereToo() throws Exception {
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
            Access.USUAL.withToken("0123456789abcdef"),
            usual.tls(),
            usual.accessLog(),
            Duration.ofSeconds(5),
            usual.compile()));
    assertEquals(Status.Code.UNAUTHENTICATED, refused(pictures(1), CallOptions.DEFAULT));
  }
}
