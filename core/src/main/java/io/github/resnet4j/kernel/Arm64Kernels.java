package io.github.resnet4j.kernel;

import java.util.Set;

/**
 * The kernels as generated machine code for arm64, on vectors of 128 bits. {@link Arm64Assembler}
 * encodes instructions, {@link MachineCode} provides memory and calls.
 */
final class Arm64Kernels implements Kernels {
  private final Arm64Conv conv;
  private final WinogradKernels winograd;
  private final PoolKernels pool;
  private final NormKernels norm;
  private final MachinePrefetch reading;
  private final MachinePrefetch writing;
  private final PairKernels pairs = new ScalarPairs();

  /**
   * @param features optional features of the processor
   */
  Arm64Kernels(Set<Arm64Feature> features) {
    var cache = new MachineCache();
    Target target = Target.arm64();
    this.conv = new Arm64Conv(features, cache);
    this.winograd = new MachineWinograd(target, cache, conv::supports);
    this.pool = new MachinePool(target, cache, conv::supports);
    this.norm = new MachineNorm(target, cache, conv::supports);
    this.reading = new MachinePrefetch(false, target, cache);
    this.writing = new MachinePrefetch(true, target, cache);
  }

  @Override
  public String name() {
    return "machine, 128 bit";
  }

  @Override
  public int lanes() {
    return Arm64Conv.LANES;
  }

  @Override
  public int maxVectors() {
    return 4;
  }

  @Override
  public int accumulators() {
    return Arm64TileCode.ACCUMULATORS;
  }

  @Override
  public boolean isOptimized() {
    return true;
  }

  @Override
  public boolean supports(Format format) {
    return conv.supports(format);
  }

  @Override
  public boolean isFasterWith(Format in) {
    return conv.isFasterWith(in);
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

  /** Pairs of bfloat16 are plain loops. */
  @Override
  public boolean trainsFasterWith(Format format) {
    return false;
  }

  @Override
  public PairKernels pairs() {
    return pairs;
  }

  @Override
  public NormKernels norm() {
    return norm;
  }

  @Override
  public void prefetch(Floats memory, int at, int words) {
    reading.run(memory, at, words);
  }

  @Override
  public void prefetchForWriting(Floats memory, int at, int words) {
    writing.run(memory, at, words);
  }
}
