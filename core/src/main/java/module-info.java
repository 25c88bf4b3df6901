/** Residual networks in plain Java: define, load, preprocess, classify, train. */
module io.github.resnet4j {
  requires com.fasterxml.jackson.jr.ob;
  requires java.net.http;
  requires static jdk.incubator.vector;
  requires static org.jspecify;

  exports io.github.resnet4j;
  exports io.github.resnet4j.checkpoint;
  exports io.github.resnet4j.engine;
  exports io.github.resnet4j.explain;
  exports io.github.resnet4j.image;
  exports io.github.resnet4j.inspect;
  exports io.github.resnet4j.kernel;
  exports io.github.resnet4j.messages;
  exports io.github.resnet4j.nn;
  exports io.github.resnet4j.tensor;
  exports io.github.resnet4j.train;
}
