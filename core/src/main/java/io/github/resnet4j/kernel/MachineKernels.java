package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.MachineCode.Feature;
import io.github.resnet4j.kernel.Vec.Width;
import java.util.Set;

/**
 * The kernels as x86-64 machine code that Java writes itself: as fast in their first call as ever
 * after. {@link Assembler} knows the instructions, {@link MachineCode} memory and calls, and each
 * family writes its code and checks what a kernel will read and write before each call.
 */
final class MachineKernels implements Kernels {
  private final Width width;
  private final MachineConv conv;
  private final WinogradKernels winograd;
  private final PoolKernels pool;
  private final NormKernels norm;

  /**
   * @param width of the vectors, 512 or 256 bits; the processor must have them
   * @param features what else it has
   */
  MachineKernels(Width width, Set<Feature> features) {
    var cache = new MachineCache();
    this.width = width;
    this.conv = new MachineConv(width, features, cache);
    this.winograd = new MachineWinograd(width, cache);
    this.pool = new MachinePool(width, cache);
    this.norm = new MachineNorm(width, cache);
  }

  /**
   * Refuses a block that is not whole vectors.
   *
   * @throws IllegalArgumentException if it is not, or longer than any block
   */
  static void checkBlock(int block, Width width) {
    int lanes = width.lanes();
    if (block < lanes || block % lanes != 0 || block > 64) {
      throw new IllegalArgumentException("not for blocks of " + block);
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
  public int mostVectors() {
    return conv.mostVectors();
  }

  @Override
  public int accumulators() {
    return conv.accumulators();
  }

  @Override
  public boolean isFast() {
    return true;
  }

  @Override
  public boolean has(Format format) {
    return conv.has(format);
  }

  @Override
  public boolean gainsBy(Format in) {
    return conv.gainsBy(in);
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
  public NormKernels norm() {
    return norm;
  }
}
