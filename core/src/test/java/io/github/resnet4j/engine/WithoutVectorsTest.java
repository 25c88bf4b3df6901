package io.github.resnet4j.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** In a JVM without the Vector API networks are slower, but have the same results. */
@Tag("no-vectors")
class WithoutVectorsTest {
  @Test
  void usesScalarKernelsAndWarns() {
    var warnings = new ArrayList<String>();
    var logger = Logger.getLogger("io.github.resnet4j");
    logger.setUseParentHandlers(false);
    logger.addHandler(
        new Handler() {
          @Override
          public void publish(LogRecord record) {
            warnings.add(record.getMessage());
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        });

    var spec = ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1).channels(16).build();
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    Tensor x = TorchRandom.manualSeed(1).randn(2, 3, 40, 40);
    var options = CompileOptions.defaults().withThreads(2).withTaps("layer1");
    try (var session = network.compile(options)) {
      assertEquals("scalar", session.kernels());
      assertEquals(List.of("layer1", "output"), List.copyOf(session.runAll(x).keySet()));
      assertArrayEquals(network.forward(x).data(), session.run(x).data());
    }
    assertEquals(
        List.of(
            "running on slow scalar kernels: no machine code: start Java with"
                + " --enable-native-access=ALL-UNNAMED; the Vector API is not enabled; start Java"
                + " with --add-modules jdk.incubator.vector"),
        warnings);
  }
}
