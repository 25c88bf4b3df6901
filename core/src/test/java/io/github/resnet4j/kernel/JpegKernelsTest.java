package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares each provider with the definitions, and the providers with each other, bit for bit. */
class JpegKernelsTest {
  private static List<JpegKernels> providers() {
    var providers = new ArrayList<JpegKernels>(List.of(new ScalarJpeg()));
    if (MachineSupport.here().obstacle().isEmpty()) {
      providers.add(new MachineJpeg());
    }
    return providers;
  }

  private static final byte[] POSITIONS = ZigZag.positions();

  private static long[] nonZero(short[] coefficients) {
    long[] nonZero = new long[coefficients.length / 64];
    for (int i = 0; i < coefficients.length; i++) {
      int k = i % 64;
      if (k > 0 && coefficients[i - k + POSITIONS[k]] != 0) {
        nonZero[i / 64] |= 1L << k;
      }
    }
    return nonZero;
  }

  private static byte[] idct(JpegKernels kernels, short[] coefficients, short[] steps) {
    int blocks = coefficients.length / 64;
    byte[] samples = new byte[8 * (8 * blocks + 3)];
    kernels.idct(coefficients, nonZero(coefficients), 0, blocks, steps, samples, 2, 8 * blocks + 3);
    return samples;
  }

  /** Blocks as in typical images: few coefficients, larger ones at lower frequencies. */
  private static short[] usual(int blocks, Random random) {
    short[] coefficients = new short[64 * blocks];
    for (int b = 0; b < blocks; b++) {
      for (int k = random.nextInt(20); k >= 0; k--) {
        coefficients[64 * b + POSITIONS[k]] = (short) (random.nextGaussian() * 60 / (k + 1));
      }
    }
    return coefficients;
  }

  private static short[] steps(int least, int end, Random random) {
    short[] steps = new short[64];
    for (int i = 0; i < 64; i++) {
      steps[i] = (short) random.nextInt(least, end);
    }
    return steps;
  }

  @ParameterizedTest
  @MethodSource("providers")
  void inverseDctIsTheRoundedSumOfCosines(JpegKernels kernels) {
    var random = new Random(1);
    int blocks = 301;
    short[] coefficients = usual(blocks, random);
    short[] steps = steps(1, 20, random);
    byte[] samples = idct(kernels, coefficients, steps);
    double squares = 0;
    for (int b = 0; b < blocks; b++) {
      for (int i = 0; i < 64; i++) {
        double sum = 0;
        for (int j = 0; j < 64; j++) {
          sum += coefficients[64 * b + j] * steps[j] * cosine(i / 8, j / 8) * cosine(i % 8, j % 8);
        }
        double expected = Math.max(-128, Math.min(sum / 4, 127));
        double error = samples[2 + i / 8 * (8 * blocks + 3) + 8 * b + i % 8] - expected;
        assertTrue(Math.abs(error) < 1, "block %d, sample %d: %f".formatted(b, i, error));
        squares += error * error;
      }
    }
    // rounding alone gives 1/12
    assertTrue(squares / (64 * blocks) < 0.09, "mean square of %f".formatted(squares));
  }

  private static double cosine(int x, int frequency) {
    return Math.cos((2 * x + 1) * frequency * Math.PI / 16) * (frequency == 0 ? Math.sqrt(0.5) : 1);
  }

  @ParameterizedTest
  @MethodSource("providers")
  void providersAreBitIdenticalForAllBlocks(JpegKernels kernels) {
    var random = new Random(2);
    for (int i = 0; i < 3000; i++) {
      int blocks = 1 + random.nextInt(5);
      short[] coefficients = usual(blocks, random);
      short[] steps = steps(1, random.nextBoolean() ? 30 : 1 << 16, random);
      for (int b = 0; b < blocks; b++) {
        switch (random.nextInt(5)) {
          case 0 -> Arrays.fill(coefficients, 64 * b + 1, 64 * b + 64, (short) 0);
          case 1 -> { // only the first row, where 16 bits overflow
            Arrays.fill(coefficients, 64 * b, 64 * b + 64, (short) 0);
            coefficients[64 * b] = (short) random.nextInt();
            coefficients[64 * b + 3] = (short) random.nextInt();
          }
          case 2 -> {
            for (int j = 0; j < 64; j++) {
              coefficients[64 * b + j] = (short) random.nextInt();
            }
          }
          default -> {}
        }
      }
      assertArrayEquals(
          idct(new ScalarJpeg(), coefficients, steps), idct(kernels, coefficients, steps));
    }
  }

  @ParameterizedTest
  @MethodSource("providers")
  void triangleFiltersMatchLibjpeg(JpegKernels kernels) {
    var random = new Random(3);
    byte[] samples = new byte[1000];
    for (int width = 3; width < 300; width++) {
      random.nextBytes(samples);
      int near = random.nextInt(400);
      int far = 400 + random.nextInt(200);
      byte[] row = new byte[2 * width];
      byte[] between = new byte[2 * width];
      kernels.upsample(samples, near, width, row);
      kernels.upsample(samples, near, far, width, between);
      for (int i = 0; i < 2 * width; i++) {
        int x = i / 2;
        int beside = Math.max(0, Math.min(i % 2 == 0 ? x - 1 : x + 1, width - 1));
        int a = samples[near + x] + 128;
        int b = samples[near + beside] + 128;
        assertEquals((3 * a + b + 1 + i % 2) / 4, row[i] + 128);
        int sum = 3 * (3 * a + samples[far + x] + 128) + 3 * b + samples[far + beside] + 128;
        assertEquals((sum + 8 - i % 2) / 16, between[i] + 128);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("providers")
  void colorConversionMatchesLibjpeg(JpegKernels kernels) {
    byte[] y = new byte[256];
    byte[] cb = new byte[256];
    byte[] cr = new byte[256];
    byte[] rgb = new byte[3 * 256];
    byte[] expected = new byte[3 * 256];
    for (int i = 0; i < 256; i++) {
      y[i] = (byte) (i - 128);
    }
    for (int blue = -128; blue < 128; blue++) {
      Arrays.fill(cb, (byte) blue);
      for (int red = -128; red < 128; red++) {
        Arrays.fill(cr, (byte) red);
        kernels.rgb(y, 0, cb, 0, cr, 0, 256, rgb, 0);
        long r = Math.floorDiv(91_881L * red + 32_768, 65_536);
        long g = Math.floorDiv(-22_554L * blue - 46_802L * red + 32_768, 65_536);
        long b = Math.floorDiv(116_130L * blue + 32_768, 65_536);
        for (int i = 0; i < 256; i++) {
          expected[3 * i] = (byte) Math.clamp(i + r, 0, 255);
          expected[3 * i + 1] = (byte) Math.clamp(i + g, 0, 255);
          expected[3 * i + 2] = (byte) Math.clamp(i + b, 0, 255);
        }
        assertArrayEquals(expected, rgb);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("providers")
  void rowsOfAllWidthsAreConverted(JpegKernels kernels) {
    byte[] planes = new byte[2000];
    new Random(4).nextBytes(planes);
    for (int width = 1; width < 300; width++) {
      byte[] colors = new byte[3 * width + 10];
      byte[] rgb = new byte[3 * width + 10];
      kernels.rgb(planes, 7, planes, 500, planes, 1111, width, colors, 5);
      kernels.interleave(planes, 7, planes, 500, planes, 1111, width, rgb, 5);
      byte[] expected = new byte[3 * width + 10];
      new ScalarJpeg().rgb(planes, 7, planes, 500, planes, 1111, width, expected, 5);
      assertArrayEquals(expected, colors);
      for (int i = 0; i < width; i++) {
        assertEquals((byte) (planes[7 + i] + 128), rgb[5 + 3 * i]);
        assertEquals((byte) (planes[500 + i] + 128), rgb[6 + 3 * i]);
        assertEquals((byte) (planes[1111 + i] + 128), rgb[7 + 3 * i]);
      }
      assertEquals(0, rgb[4] | rgb[3 * width + 5] | colors[4] | colors[3 * width + 5]);
    }
  }

  @ParameterizedTest
  @MethodSource("providers")
  void outOfBoundsOperandsAreRejected(JpegKernels kernels) {
    short[] coefficients = new short[64 * 4];
    Arrays.fill(coefficients, (short) 1);
    byte[] bytes = new byte[200];
    assertRejected(() -> idct(kernels, coefficients, new short[63]));
    assertRejected(
        () -> kernels.idct(coefficients, new long[4], 1, 4, new short[64], new byte[999], 0, 40));
    assertRejected(
        () -> kernels.idct(coefficients, new long[4], 0, 4, new short[64], new byte[255], 0, 32));
    assertRejected(
        () -> kernels.idct(coefficients, new long[4], -1, 3, new short[64], new byte[999], 0, 32));
    assertRejected(() -> kernels.upsample(bytes, 150, 51, new byte[102]));
    assertRejected(() -> kernels.upsample(bytes, 0, 60, new byte[119]));
    assertRejected(() -> kernels.upsample(bytes, 0, 150, 51, new byte[102]));
    assertRejected(() -> kernels.upsample(bytes, -1, 50, 51, new byte[102]));
    assertRejected(() -> kernels.rgb(bytes, 0, bytes, 0, bytes, 141, 60, new byte[180], 0));
    assertRejected(() -> kernels.rgb(bytes, 0, bytes, 0, bytes, 0, 60, new byte[180], 1));
    assertRejected(() -> kernels.interleave(bytes, -1, bytes, 0, bytes, 0, 60, new byte[180], 0));
  }

  private static void assertRejected(Runnable call) {
    assertThrows(IndexOutOfBoundsException.class, call::run);
  }

  @Test
  void machineCodeIsUsedWhenAvailable() {
    assumeTrue(MachineSupport.here().obstacle().isEmpty(), "no machine code here");
    assertTrue(JpegKernels.create(1 << 23) instanceof MachineJpeg);
    Kernels.best();
    assertTrue(JpegKernels.create(1) instanceof MachineJpeg);
  }
}
