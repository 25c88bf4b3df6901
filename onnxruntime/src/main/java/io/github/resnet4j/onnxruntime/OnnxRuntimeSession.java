package io.github.resnet4j.onnxruntime;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.InferenceSession;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A network in ONNX Runtime. Siblings share the runtime's session, which runs concurrent calls; the
 * last one that is closed closes it.
 */
final class OnnxRuntimeSession implements InferenceSession {
  private final CompiledNetwork compiled;
  private final CompileOptions options;
  private final AtomicBoolean closed = new AtomicBoolean();

  private OnnxRuntimeSession(CompiledNetwork compiled, CompileOptions options) {
    this.compiled = compiled;
    this.options = options;
  }

  /**
   * @throws IllegalArgumentException if the provider is not available
   */
  static OnnxRuntimeSession open(
      Sequential network, StateDict state, int inChannels, CompileOptions options, Device device) {
    try {
      device.provider().requireIn(OrtEnvironment.getAvailableProviders());
    } catch (UnsatisfiedLinkError | ExceptionInInitializerError | NoClassDefFoundError e) {
      throw new IllegalArgumentException(
          "ONNX Runtime's native library cannot be loaded: " + e.getMessage(), e);
    }
    return new OnnxRuntimeSession(
        new CompiledNetwork(network, state, inChannels, options, device), options);
  }

  @Override
  public CompileOptions options() {
    return options;
  }

  @Override
  public Precision precision() {
    return Precision.FP32;
  }

  @Override
  public String kernels() {
    return "ONNX Runtime, " + options.engine().provider();
  }

  @Override
  public InferenceSession sibling() {
    compiled.retain();
    return new OnnxRuntimeSession(compiled, options);
  }

  /** A session with its own copy of the weights: the runtime compiles a graph for its outputs. */
  @Override
  public InferenceSession withTaps(String... layers) {
    CompileOptions tapped = options.withTaps(layers);
    return open(
        compiled.network(), compiled.state(), compiled.inChannels(), tapped, compiled.device());
  }

  @Override
  public SequencedMap<String, Tensor> runAll(Tensor x) {
    if (x.rank() != 4 || x.dim(0) < 1 || x.dim(1) != compiled.inChannels()) {
      throw new IllegalArgumentException(
          "the input must be [N, %d, H, W], was %s".formatted(compiled.inChannels(), x));
    }
    if (closed.get()) {
      throw new IllegalStateException("the session is closed");
    }
    return compiled.use(x.dim(2), x.dim(3), session -> run(session, x));
  }

  private SequencedMap<String, Tensor> run(OrtSession session, Tensor x) throws OrtException {
    List<String> taps = options.taps();
    long[] shape = Arrays.stream(x.shape()).asLongStream().toArray();
    try (var input =
            OnnxTensor.createTensor(
                OrtEnvironment.getEnvironment(), FloatBuffer.wrap(x.data()), shape);
        var results = session.run(Map.of("images", input))) {
      var outputs = new LinkedHashMap<String, Tensor>();
      for (int i = 0; i <= taps.size(); i++) {
        var result = (OnnxTensor) results.get(i);
        int[] extents =
            Arrays.stream(result.getInfo().getShape()).mapToInt(Math::toIntExact).toArray();
        float[] values = new float[result.getFloatBuffer().remaining()];
        result.getFloatBuffer().get(values);
        outputs.put(i < taps.size() ? taps.get(i) : "output", Tensor.of(values, extents));
      }
      return outputs;
    }
  }

  @Override
  public void close() {
    if (!closed.getAndSet(true)) {
      compiled.release();
    }
  }

  /** {@code OnnxRuntimeSession[cuda, 8 threads]}. */
  @Override
  public String toString() {
    return "OnnxRuntimeSession[%s, %d threads]"
        .formatted(options.engine().provider(), options.threads());
  }
}
