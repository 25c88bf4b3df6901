package io.github.resnet4j.kernel;

/**
 * A vector register of x86-64. Registers with the same number share their lower bits: ymm3 is the
 * lower half of zmm3.
 *
 * @param number from 0; those from 16 on require AVX-512
 */
record Vec(Width width, int number) {
  /** The length of a vector. */
  enum Width {
    /** 128 bits. */
    XMM,
    /** 256 bits, with AVX2. */
    YMM,
    /** 512 bits, with AVX-512. */
    ZMM;

    int bytes() {
      return 16 << ordinal();
    }

    /** The number of floats of a vector. */
    int lanes() {
      return bytes() / Float.BYTES;
    }

    /** The number of registers of a processor whose longest vectors have this length. */
    int registers() {
      return this == ZMM ? 32 : 16;
    }
  }

  /**
   * @throws IllegalArgumentException if no processor has this register
   */
  Vec {
    if (number < 0 || number >= 32) {
      throw new IllegalArgumentException("no vector register " + number);
    }
  }

  static Vec xmm(int number) {
    return new Vec(Width.XMM, number);
  }

  static Vec ymm(int number) {
    return new Vec(Width.YMM, number);
  }

  static Vec zmm(int number) {
    return new Vec(Width.ZMM, number);
  }

  /** The register with the same number and another length. */
  Vec as(Width other) {
    return new Vec(other, number);
  }

  /** The register whose number is larger by {@code count}. */
  Vec plus(int count) {
    return new Vec(width, number + count);
  }
}
