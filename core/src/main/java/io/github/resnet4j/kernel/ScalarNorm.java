package io.github.resnet4j.kernel;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Batch norm as plain loops. */
final class ScalarNorm implements NormKernels {
  private final NormKernels halves = new ScalarHalfNorm();

  private static int pixel(Plane plane, int at, int row, int column) {
    return at + row * plane.rowStride() + column * plane.block();
  }

  @Override
  public Moments moments(Plane x) {
    if (x.format() == Format.BF16) {
      return halves.moments(x);
    }
    Plane.checkAlike(x);
    return (memory, at, pivot, to) -> moments(memory.values, x, at, pivot, to);
  }

  private static void moments(float[] arena, Plane x, int at, int pivot, int to) {
    int block = x.block();
    for (int i = 0; i < x.rows(); i++) {
      for (int c = 0; c < block; c++) {
        float sum = 0;
        float squares = 0;
        int pixel = pixel(x, at, i, 0) + c;
        for (int j = 0; j < x.columns(); j++, pixel += block) {
          float d = arena[pixel] - arena[pivot + c];
          sum += d;
          squares = Math.fma(d, d, squares);
        }
        arena[to + c] += sum;
        arena[to + block + c] += squares;
      }
    }
  }

  @Override
  public Normalize normalize(Plane x, @Nullable Plane residual, Plane y) {
    if (x.format() == Format.BF16) {
      return halves.normalize(x, residual, y);
    }
    Plane.checkAlike(x, residual, y);
    int block = x.block();
    return (memory, at, coefficients, added, to) -> {
      float[] arena = memory.values;
      for (int i = 0; i < x.rows(); i++) {
        for (int j = 0; j < x.columns(); j++) {
          for (int c = 0; c < block; c++) {
            int k = coefficients + c;
            float start = arena[k + block];
            if (residual != null) {
              float value = arena[pixel(residual, added, i, j) + c];
              start = Math.fma(value, arena[k + 2 * block], start);
            }
            float sum = Math.fma(arena[pixel(x, at, i, j) + c], arena[k], start);
            arena[pixel(y, to, i, j) + c] = ScalarConv.relu(sum);
          }
        }
      }
    };
  }

  @Override
  public GradientMoments gradientMoments(Mask mask, Plane g, Plane x, @Nullable Plane y) {
    if (x.format() == Format.BF16) {
      return halves.gradientMoments(mask, g, x, y);
    }
    Plane output = mask == Mask.OUTPUT ? Objects.requireNonNull(y) : x;
    Plane.checkAlike(x, g, output);
    int block = x.block();
    return (memory, gradient, at, result, coefficients, to) -> {
      float[] arena = memory.values;
      for (int i = 0; i < x.rows(); i++) {
        for (int c = 0; c < block; c++) {
          int k = coefficients + c;
          float sum = 0;
          float products = 0;
          for (int j = 0; j < x.columns(); j++) {
            float value = arena[pixel(x, at, i, j) + c];
            int place = pixel(g, gradient, i, j) + c;
            boolean passes =
                switch (mask) {
                  case NONE -> true;
                  case INPUT -> Math.fma(value, arena[k + block], arena[k + 2 * block]) > 0;
                  case OUTPUT -> arena[pixel(output, result, i, j) + c] > 0;
                };
            float passed = passes ? arena[place] : 0;
            if (mask == Mask.OUTPUT) {
              arena[place] = passed;
            }
            sum += passed;
            products = Math.fma(passed, value - arena[k], products);
          }
          arena[to + c] += sum;
          arena[to + block + c] += products;
        }
      }
    };
  }

  @Override
  public Gradient gradient(boolean masked, Plane g, Plane x, Plane out) {
    if (x.format() == Format.BF16) {
      return halves.gradient(masked, g, x, out);
    }
    Plane.checkAlike(x, g, out);
    int block = x.block();
    return (memory, gradient, at, coefficients, to) -> {
      float[] arena = memory.values;
      for (int i = 0; i < x.rows(); i++) {
        for (int j = 0; j < x.columns(); j++) {
          for (int c = 0; c < block; c++) {
            int k = coefficients + c;
            float value = arena[pixel(x, at, i, j) + c];
            boolean passes =
                !masked || Math.fma(value, arena[k + 3 * block], arena[k + 4 * block]) > 0;
            float passed = passes ? arena[pixel(g, gradient, i, j) + c] : 0;
            float rest = Math.fma(value, arena[k + block], arena[k + 2 * block]);
            arena[pixel(out, to, i, j) + c] = Math.fma(passed, arena[k], rest);
          }
        }
      }
    };
  }
}
