package io.github.resnet4j.tensor;

import java.util.Arrays;

/**
 * PyTorch's CPU random number generator: after {@code manualSeed(s)} it yields the same numbers as
 * {@code torch.manual_seed(s)}, so that a network initialized here has the weights that PyTorch
 * would give it.
 *
 * <p>The bits come from MT19937 (Matsumoto and Nishimura, 1998). Uniform floats take the low 24
 * bits of one draw. Normal floats use Box–Muller: for 16 or more values in blocks of 16, the first
 * eight uniforms for the radii and the last eight for the angles; for fewer values, one double at a
 * time. Uniforms are bit-identical; normals agree to float rounding, since the implementations of
 * logarithm and cosine differ.
 *
 * <p>Not thread-safe.
 */
public final class TorchRandom {
  private static final int N = 624;
  private static final int M = 397;
  private static final float TWO_POW_MINUS_24 = 0x1p-24f;

  private final int[] state = new int[N];
  private int next = N;
  // The second value of the last Box-Muller pair, kept between draws as in PyTorch.
  private double cachedNormal = Double.NaN;

  private TorchRandom(long seed) {
    state[0] = (int) seed;
    for (int i = 1; i < N; i++) {
      state[i] = 1_812_433_253 * (state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    }
  }

  /** A generator in the state of {@code torch.manual_seed(seed)}. */
  public static TorchRandom manualSeed(long seed) {
    return new TorchRandom(seed);
  }

  /** The next 32 random bits. */
  public int nextBits() {
    if (next == N) {
      twist();
    }
    int y = state[next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return y ^ (y >>> 18);
  }

  private void twist() {
    for (int i = 0; i < N; i++) {
      int y = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + M) % N] ^ (y >>> 1) ^ ((y & 1) == 0 ? 0 : 0x9908b0df);
    }
    next = 0;
  }

  /** Skips {@code count} draws of 32 bits. */
  public void skip(long count) {
    for (long i = 0; i < count; i++) {
      nextBits();
    }
  }

  private double nextDouble() {
    long high = nextBits() & 0xffffffffL;
    long low = nextBits() & 0xffffffffL;
    return (((high << 32) | low) & ((1L << 53) - 1)) * 0x1p-53;
  }

  private float nextUniform() {
    return (nextBits() & ((1 << 24) - 1)) * TWO_POW_MINUS_24;
  }

  /** {@code tensor.uniform_(low, high)} over a whole array, in [low, high). */
  public void uniform(float[] target, double low, double high) {
    float from = (float) low;
    float width = (float) high - (float) low;
    for (int i = 0; i < target.length; i++) {
      target[i] = nextUniform() * width + from;
    }
  }

  /** {@code tensor.normal_(mean, std)} over a whole array. */
  public void normal(float[] target, double mean, double std) {
    if (target.length < 16) {
      for (int i = 0; i < target.length; i++) {
        target[i] = (float) (nextNormal() * std + mean);
      }
      return;
    }
    for (int i = 0; i < target.length; i++) {
      target[i] = nextUniform();
    }
    int i = 0;
    for (; i + 16 <= target.length; i += 16) {
      boxMuller(target, i, (float) mean, (float) std);
    }
    if (i < target.length) {
      // The last 16 values are drawn again and replace some that were already finished.
      int tail = target.length - 16;
      for (int j = tail; j < target.length; j++) {
        target[j] = nextUniform();
      }
      boxMuller(target, tail, (float) mean, (float) std);
    }
  }

  private static void boxMuller(float[] values, int offset, float mean, float std) {
    for (int j = offset; j < offset + 8; j++) {
      float u1 = 1 - values[j]; // (0, 1]: the logarithm stays finite
      float u2 = values[j + 8];
      float radius = (float) Math.sqrt(-2 * (float) Math.log(u1));
      float theta = (float) (2 * Math.PI) * u2;
      values[j] = radius * (float) Math.cos(theta) * std + mean;
      values[j + 8] = radius * (float) Math.sin(theta) * std + mean;
    }
  }

  private double nextNormal() {
    if (!Double.isNaN(cachedNormal)) {
      double cached = cachedNormal;
      cachedNormal = Double.NaN;
      return cached;
    }
    double u1 = nextDouble();
    double u2 = nextDouble();
    double radius = Math.sqrt(-2 * Math.log1p(-u2));
    double theta = 2 * Math.PI * u1;
    cachedNormal = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }

  /** {@code torch.rand(shape)}: uniform in [0, 1). */
  public Tensor rand(int... shape) {
    Tensor tensor = Tensor.zeros(shape);
    uniform(tensor.data(), 0, 1);
    return tensor;
  }

  /** {@code torch.randn(shape)}: standard normal. */
  public Tensor randn(int... shape) {
    Tensor tensor = Tensor.zeros(shape);
    normal(tensor.data(), 0, 1);
    return tensor;
  }

  @Override
  public String toString() {
    return "TorchRandom[position %d, state %08x]".formatted(next, Arrays.hashCode(state));
  }
}
