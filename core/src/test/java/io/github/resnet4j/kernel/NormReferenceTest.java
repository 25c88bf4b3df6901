package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.NormKernels.Mask;
import io.github.resnet4j.kernel.Truth.Sum;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares batch norm with sums in double precision. */
class NormReferenceTest extends KernelReference {
  /** Three operands one after the other, then coefficients, then sums. */
  private record Operands(Plane[] planes, int[] at, int coefficients, int to, float[] arena) {
    static Operands random(Kernels kernels, Random random) {
      int rows = 1 + random.nextInt(6);
      int columns = 1 + random.nextInt(9);
      int block = anyBlock(kernels, random);
      var planes = new Plane[3];
      Arrays.setAll(planes, _ -> plane(random, rows, columns, block));
      int[] at = new int[3];
      int end = 5;
      for (int i = 0; i < 3; i++) {
        at[i] = end;
        end += (int) planes[i].span() + random.nextInt(20);
      }
      return new Operands(
          planes, at, end, end + 5 * block, sometimesNotFinite(random, end + 7 * block + 3));
    }

    int block() {
      return planes[0].block();
    }

    int pixels() {
      return planes[0].rows() * planes[0].columns();
    }

    double get(int operand, int pixel, int channel) {
      return arena[place(operand, pixel, channel)];
    }

    int place(int operand, int pixel, int channel) {
      return pixel(planes[operand], at[operand], pixel) + channel;
    }

    double coefficient(int row, int channel) {
      return arena[coefficients + row * block() + channel];
    }
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void moments(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random);
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              double d = o.get(0, i, c) - o.coefficient(0, c);
              truth.more(o.to + c).add(d);
              truth.more(o.to + o.block() + c).addProduct(d, d);
            }
            truth.more(o.to + c).round(1 + o.planes[0].rows());
            truth.more(o.to + o.block() + c).round(2 + o.planes[0].rows());
          }
          kernels
              .norm()
              .moments(o.planes[0])
              .run(Floats.of(o.arena), o.at[0], o.coefficients, o.to);
          truth.check(o.arena, kernels.name() + " " + o.planes[0]);
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void normalized(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random);
          boolean residual = random.nextBoolean();
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              Sum sum = Truth.sum().add(o.coefficient(1, c));
              if (residual) {
                sum.addProduct(o.get(1, i, c), o.coefficient(2, c));
              }
              sum.addProduct(o.get(0, i, c), o.coefficient(0, c)).relu(true);
              truth.expect(o.place(2, i, c), sum);
            }
          }
          kernels
              .norm()
              .normalize(o.planes[0], residual ? o.planes[1] : null, o.planes[2])
              .run(Floats.of(o.arena), o.at[0], o.coefficients, o.at[1], o.at[2]);
          truth.check(o.arena, kernels.name() + " " + o.planes[0]);
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void momentsOfGradients(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random); // g, x and y
          Mask mask = Mask.values()[random.nextInt(3)];
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              double x = o.get(1, i, c);
              boolean passes =
                  switch (mask) {
                    case NONE -> true;
                    case INPUT -> x * o.coefficient(1, c) + o.coefficient(2, c) > 0;
                    case OUTPUT -> o.get(2, i, c) > 0;
                  };
              double g = passes ? o.get(0, i, c) : 0;
              truth.more(o.to + c).add(g);
              truth.more(o.to + o.block() + c).addProduct(g, x - o.coefficient(0, c));
              if (mask == Mask.OUTPUT) {
                truth.expect(o.place(0, i, c), Truth.sum().add(g));
              }
            }
            truth.more(o.to + c).round(o.planes[0].rows());
            truth.more(o.to + o.block() + c).round(1 + o.planes[0].rows());
          }
          kernels
              .norm()
              .gradientMoments(mask, o.planes[0], o.planes[1], o.planes[2])
              .run(Floats.of(o.arena), o.at[0], o.at[1], o.at[2], o.coefficients, o.to);
          truth.check(o.arena, "%s %s %s".formatted(kernels.name(), mask, o.planes[0]));
        });
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void gradientsOfNorms(int seed) {
    forEach(
        seed,
        (kernels, random) -> {
          Operands o = Operands.random(kernels, random); // g, x and out
          boolean masked = random.nextBoolean();
          boolean inPlace = random.nextBoolean();
          int out = inPlace ? 0 : 2;
          var truth = new Truth(o.arena);
          for (int c = 0; c < o.block(); c++) {
            for (int i = 0; i < o.pixels(); i++) {
              double x = o.get(1, i, c);
              boolean passes = !masked || x * o.coefficient(3, c) + o.coefficient(4, c) > 0;
              Sum sum = Truth.sum().add(o.coefficient(2, c));
              sum.addProduct(x, o.coefficient(1, c));
              sum.addProduct(passes ? o.get(0, i, c) : 0, o.coefficient(0, c));
              truth.expect(o.place(out, i, c), sum);
            }
          }
          kernels
              .norm()
              .gradient(masked, o.planes[0], o.planes[1], o.planes[out])
              .run(Floats.of(o.arena), o.at[0], o.at[1], o.coefficients, o.at[out]);
          truth.check(o.arena, kernels.name() + " " + o.planes[0]);
        });
  }
}
