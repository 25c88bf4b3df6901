package io.github.resnet4j.kernel;

/** The reference: every kernel as the plain loops of its specification. It works on every JVM. */
final class ScalarKernels implements Kernels {
  private final ConvKernels conv = new ScalarConv();
  private final WinogradKernels winograd = new ScalarWinograd();
  private final PoolKernels pool = new ScalarPool();
  private final NormKernels norm = new ScalarNorm();
  private final PairKernels pairs = new ScalarPairs();

  @Override
  public String name() {
    return "scalar";
  }

  @Override
  public int lanes() {
    return 16;
  }

  @Override
  public int maxVectors() {
    return 4;
  }

  @Override
  public int accumulators() {
    return 24;
  }

  @Override
  public boolean isOptimized() {
    return false;
  }

  @Override
  public boolean supports(Format format) {
    return format == Format.FP32;
  }

  @Override
  public boolean isFasterWith(Format in) {
    return false;
  }

  @Override
  public ConvKernels conv() {
    return conv;
  }

  @Override
  public WinogradKernels winograd() {
    return winograd;
  }

  @Override
  public PoolKernels pool() {
    return pool;
  }

  @Override
  public PairKernels pairs() {
    return pairs;
  }

  @Override
  public NormKernels norm() {
    return norm;
  }
}
