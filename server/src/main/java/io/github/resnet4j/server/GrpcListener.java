package io.github.resnet4j.server;

import io.github.resnet4j.server.ApiException.Kind;
import io.grpc.BindableService;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptors;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * Listens for gRPC's clients: access control, and the services for inference, health ({@code
 * grpc.health.v1}) and reflection.
 */
final class GrpcListener {
  private static final Set<String> HEALTH =
      Set.of(
          GrpcApi.SERVICE + "/ServerLive",
          GrpcApi.SERVICE + "/ServerReady",
          "grpc.health.v1.Health/Check",
          "grpc.health.v1.Health/List",
          "grpc.health.v1.Health/Watch");
  private static final int MAX_METADATA_BYTES = 16 << 10;
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ServerOptions options;
  private final Metrics metrics;

  GrpcListener(ServerOptions options, Metrics metrics) {
    this.options = options;
    this.metrics = metrics;
  }

  Server start(GrpcApi api, HealthStatusManager health) throws IOException {
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
        .addService(protectedByToken(api.definition()))
        .addService(limited(health.getHealthService()))
        .addService(limited(ProtoReflectionServiceV1.newInstance()))
        .addService(limited(olderReflection()))
        .build()
        .start();
  }

  /** The version of reflection that most clients still use. */
  @SuppressWarnings("deprecation")
  private static BindableService olderReflection() {
    return io.grpc.protobuf.services.ProtoReflectionService.newInstance();
  }

  private ServerServiceDefinition limited(BindableService service) {
    ServerServiceDefinition bound = service.bindService();
    var methods = bound.getMethods().stream().map(GrpcListener::limited).toList();
    ServiceDescriptor descriptor = bound.getServiceDescriptor();
    return protectedByToken(
        GrpcApi.service(descriptor.getName(), descriptor.getSchemaDescriptor(), methods));
  }

  private static <A, B> ServerMethodDefinition<A, B> limited(ServerMethodDefinition<A, B> method) {
    MethodDescriptor<A, B> descriptor = method.getMethodDescriptor();
    return ServerMethodDefinition.create(
        descriptor.toBuilder()
            .setRequestMarshaller(GrpcMessages.small(descriptor.getRequestMarshaller()))
            .build(),
        method.getServerCallHandler());
  }

  private ServerServiceDefinition protectedByToken(ServerServiceDefinition service) {
    return ServerInterceptors.intercept(
        service,
        new io.grpc.ServerInterceptor() {
          @Override
          public <A, B> io.grpc.ServerCall.Listener<A> interceptCall(
              io.grpc.ServerCall<A, B> call,
              Metadata headers,
              io.grpc.ServerCallHandler<A, B> next) {
            // As over HTTP, health checks need no token.
            String method = call.getMethodDescriptor().getFullMethodName();
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
}
