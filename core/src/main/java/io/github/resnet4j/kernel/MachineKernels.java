package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.MachineCode.Feature;
import io.github.resnet4j.kernel.Vec.Width;
import java.util.Set;

/**
 * The kernels as generated x86-64 machine code, which is fast from its first call on. {@link
 * Assembler} encodes instructions, {@link MachineCode} provides memory and calls. Each family
 * generates its code and checks the bounds of every call.
 */
final class MachineKernels implements Kernels {
  private final Width width;
  private final MachineConv conv;
  private final WinogradKernels winograd;
  private final PoolKernels pool;
  private final NormKernels norm;
  private final MachinePrefetch reading;
  private final MachinePrefetch writing;
  private final PairKernels pairs;

  /**
   * @param width the vector length, 512 or 256 bits, which the processor must support
   * @param features further features of the processor
   */
  MachineKernels(Width width, Set<Feature> features) {
    var cache = new MachineCache();
    Target target = Target.x86(width);
    this.width = width;
    this.conv = new MachineConv(width, features, cache);
    this.winograd = new MachineWinograd(target, cache, conv::supports);
    this.pool = new MachinePool(target, cache, conv::supports);
    this.pairs = new MachinePairs(cache, conv::supports);
    this.norm = new MachineNorm(target, cache, conv::supports);
    this.reading = new MachinePrefetch(false, target, cache);
    this.writing = new MachinePrefetch(true, target, cache);
  }

  /**
   * Checks that a block consists of whole vectors.
   *
   * @throws IllegalArgumentException if it does not, or is longer than any block
   */
  static void checkBlock(int block, Width width) {
    int lanes = width.lanes();
    if (block < lanes || block % lanes != 0 || block > 64) {
      throw new IllegalArgumentException("unsupported number of channels in a block: " + block);
    }
  }

  @Override
  public String name() {
    return "machine, %d bit".formatted(8 * width.bytes());
  }

  @Override
  public int lanes() {
    return width.lanes();
  }

  @Override
  public int maxVectors() {
    return conv.maxVectors();
  }

  @Override
  public int accumulators() {
    return conv.accumulators();
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
