package io.github.resnet4j.kernel;

/**
 * Winograd's minimal filtering for 3×3 windows of stride 1 (Lavin and Gray, arXiv 1509.09308):
 * computes a square of outputs from a square of inputs with one product per input, instead of nine
 * per output.
 *
 * <pre>{@code
 * Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A
 * }</pre>
 */
public enum Winograd {
  /** Four outputs from 4×4 inputs: 2.25 times fewer products. */
  F2(
      2,
      new float[][] {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
      new double[][] {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}},
      new float[][] {{1, 1, 1, 0}, {0, 1, -1, -1}}),

  /** Sixteen outputs from 6×6 inputs: 4 times fewer products; points 0, ±1, ±2, ∞. */
  F4(
      4,
      new float[][] {
        {4, 0, -5, 0, 1, 0},
        {0, -4, -4, 1, 1, 0},
        {0, 4, -4, -1, 1, 0},
        {0, -2, -1, 2, 1, 0},
        {0, 2, -1, -2, 1, 0},
        {0, 4, 0, -5, 0, 1},
      },
      new double[][] {
        {1 / 4., 0, 0},
        {-1 / 6., -1 / 6., -1 / 6.},
        {-1 / 6., 1 / 6., -1 / 6.},
        {1 / 24., 1 / 12., 1 / 6.},
        {1 / 24., -1 / 12., 1 / 6.},
        {0, 0, 1},
      },
      new float[][] {
        {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1},
      });

  private final int outputs;
  private final float[][] bt;
  private final double[][] g;
  private final float[][] at;

  Winograd(int outputs, float[][] bt, double[][] g, float[][] at) {
    this.outputs = outputs;
    this.bt = bt;
    this.g = g;
    this.at = at;
  }

  /** The number of outputs of a tile along one axis. */
  public int outputs() {
    return outputs;
  }

  /** The number of inputs of a tile along one axis. */
  public int inputs() {
    return outputs + 2;
  }

  /** The number of products of a tile: one for each input. */
  public int products() {
    return inputs() * inputs();
  }

  /** Bᵀ, {@code [inputs][inputs]}. */
  float[][] inputTransform() {
    return bt;
  }

  /** G in single precision, {@code [inputs][3]}. */
  public float[][] weightTransform() {
    float[][] floats = new float[inputs()][3];
    for (int i = 0; i < floats.length; i++) {
      for (int k = 0; k < 3; k++) {
        floats[i][k] = (float) g[i][k];
      }
    }
    return floats;
  }

  /** Aᵀ, {@code [outputs][inputs]}. */
  float[][] outputTransform() {
    return at;
  }

  /**
   * {@code G g Gᵀ} of one 3×3 window, in double precision.
   *
   * @param window nine weights, row by row
   * @param transformed receives the result, {@code [inputs * inputs]}
   */
  public void transformWeights(float[] window, float[] transformed) {
    int t = inputs();
    for (int i = 0; i < t; i++) {
      double left = 0;
      double middle = 0;
      double right = 0;
      for (int k = 0; k < 3; k++) {
        left += g[i][k] * window[3 * k];
        middle += g[i][k] * window[3 * k + 1];
        right += g[i][k] * window[3 * k + 2];
      }
      for (int j = 0; j < t; j++) {
        transformed[i * t + j] = (float) (left * g[j][0] + middle * g[j][1] + right * g[j][2]);
      }
    }
  }
}
