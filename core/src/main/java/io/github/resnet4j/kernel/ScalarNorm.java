package io.github.resnet4j.kernel;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Batch norm as plain loops. */
final class ScalarNorm implements NormKernels {
  private static int pixel(Plane plane, int at, int row, int column) {
    return at + row * plane.rowStride() + column * plane.block();
  }

  @Override
  public Moments moments(Plane x) {
    Plane.checkAlike(x);
    int block = x.channels();
    return (memory, at, pivot, to) -> {
      float[] arena = memory.values;
      for (int i = 0; i < x.rows(); i++) {
        for (int c = 0; c < block; c++) {
          float sum = 0;
          float squares = 0;
          for (int j = 0; j < x.columns(); j++) {
            float d = x.get(arena, pixel(x, at, i, j), c) - arena[pivot + c];
            sum += d;
            squares = Math.fma(d, d, squares);
          }
          arena[to + c] += sum;
          arena[to + block + c] += squares;
        }
      }
    };
  }

  @Override
  public Normalize normalize(Plane x, @Nullable Plane residual, Plane y) {
    Plane.checkExtents(x, residual, y);
    int block = x.channels();
    return (memory, at, coefficients, added, to) -> {
      float[] arena = memory.values;
      for (int i = 0; i < x.rows(); i++) {
        for (int j = 0; j < x.columns(); j++) {
          for (int c = 0; c < block; c++) {
            int k = coefficients + c;
            float start = arena[k + block];
            if (residual != null) {
              float value = residual.get(arena, pixel(residual, added, i, j), c);
              start = Math.fma(value, arena[k + 2 * block], start);
            }
            float sum = Math.fma(x.get(arena, pixel(x, at, i, j), c), arena[k], start);
            y.put(arena, pixel(y, to, i, j), c, ScalarConv.relu(sum));
          }
        }
      }
    };
  }

  @Override
  public GradientMoments gradientMoments(Mask mask, Plane g, Plane x, @Nullable Plane y) {
    Plane output = mask == Mask.OUTPUT ? Objects.requireNonNull(y) : x;
    Plane.checkAlike(x, g, output);
    int block = x.channels();
    return (memory, gradient, at, result, coefficients, to) -> {
      float[] arena = memory.values;
      for (int i = 0; i < x.rows(); i++) {
        for (int c = 0; c < block; c++) {
          int k = coefficients + c;
          float sum = 0;
          float products = 0;
          for (int j = 0; j < x.columns(); j++) {
            float value = x.get(arena, pixel(x, at, i, j), c);
            int place = pixel(g, gradient, i, j);
            boolean passes =
                switch (mask) {
                  case NONE -> true;
                  case INPUT -> Math.fma(value, arena[k + block], arena[k + 2 * block]) > 0;
                  case OUTPUT -> output.get(arena, pixel(output, result, i, j), c) > 0;
                };
            float passed = passes ? g.get(arena, place, c) : 0;
            if (mask == Mask.OUTPUT) {
              g.put(arena, place, c, passed);
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
    Plane.checkAlike(x, g, out);
    int block = x.channels();
    return (memory, gradient, at, coefficients, to) -> {
      float[] arena = memory.values;
      for (int i = 0; i < x.rows(); i++) {
        for (int j = 0; j < x.columns(); j++) {
          for (int c = 0; c < block; c++) {
            int k = coefficients + c;
            float value = x.get(arena, pixel(x, at, i, j), c);
            boolean passes =
                !masked || Math.fma(value, arena[k + 3 * block], arena[k + 4 * block]) > 0;
            float passed = passes ? g.get(arena, pixel(g, gradient, i, j), c) : 0;
            float rest = Math.fma(value, arena[k + block], arena[k + 2 * block]);
            out.put(arena, pixel(out, to, i, j), c, Math.fma(passed, arena[k], rest));
          }
        }
      }
    };
  }
}
