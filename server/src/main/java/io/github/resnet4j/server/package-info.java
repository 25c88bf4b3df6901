/**
 * An inference server for HTTP and gRPC: the Open Inference Protocol, simple endpoints, and a web
 * page. Start with {@link io.github.resnet4j.server.InferenceServer#start}.
 */
@NullMarked
package io.github.resnet4j.server;

import org.jspecify.annotations.NullMarked;
