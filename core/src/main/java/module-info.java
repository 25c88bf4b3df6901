/** Residual networks in plain Java: define, load, preprocess, classify, train. */
@SuppressWarnings("module") // the modules that messages are for are compiled later
module io.github.resnet4j {
  requires com.fasterxml.jackson.jr.ob;
  requires java.net.http;
  requires static java.desktop;
  requires static jdk.incubator.vector;
  requires static jdk.jfr;
  requires static org.jspecify;

  exports io.github.resnet4j;
  exports io.github.resnet4j.checkpoint;
  exports io.github.resnet4j.engine;
  exports io.github.resnet4j.explain;
  exports io.github.resnet4j.image;
  exports io.github.resnet4j.inspect;
  exports io.github.resnet4j.nn;
  exports io.github.resnet4j.tensor;
  exports io.github.resnet4j.train;
  exports io.github.resnet4j.messages to
      io.github.resnet4j.cli,
      io.github.resnet4j.datasets,
      io.github.resnet4j.server;

  uses io.github.resnet4j.engine.InferenceEngine;
}
