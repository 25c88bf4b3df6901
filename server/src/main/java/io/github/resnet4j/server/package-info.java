/** Predictions over HTTP and gRPC: the Open Inference Protocol, simple endpoints, and a page. */
@NullMarked
package io.github.resnet4j.server;

import org.jspecify.annotations.NullMarked;
