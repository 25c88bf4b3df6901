package io.github.resnet4j.kernel;

import static java.lang.constant.ConstantDescs.CD_Object;
import static java.lang.constant.ConstantDescs.CD_float;
import static java.lang.constant.ConstantDescs.CD_int;
import static java.lang.constant.ConstantDescs.CD_void;
import static java.lang.constant.ConstantDescs.MTD_void;

import java.lang.classfile.ClassFile;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.Label;
import java.lang.constant.ClassDesc;
import java.lang.constant.MethodTypeDesc;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.InvocationTargetException;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.Vector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Generates the bytecode of a {@link ConvTile}: its loops are unrolled over pixels and vectors of
 * output channels, every accumulator is a local variable, every extent a constant. The source for
 * two pixels and one vector would be:
 *
 * <pre>{@code
 * w0 = fromArray(SPECIES, weights, biasAt);
 * acc00 = w0;  acc10 = w0;
 * for (s = firstSegment; s < endSegment; s++) {
 *   x = inAt + segments[s];
 *   for (i = 0; i < SEGMENT; i++) {
 *     w0 = fromArray(SPECIES, weights, weightAt);
 *     in = broadcast(SPECIES, arena[x]);                 acc00 = in.fma(w0, acc00);
 *     in = broadcast(SPECIES, arena[x + PIXEL_STRIDE]);  acc10 = in.fma(w0, acc10);
 *     x++;
 *     weightAt += CHANNELS;
 *   }
 * }
 * acc00.intoArray(arena, outAt);
 * acc10.intoArray(arena, outAt + OUT_STRIDE);
 * }</pre>
 *
 * The compiled code reaches the processor's peak only if SEGMENT is a constant (with a variable the
 * loop is split in three and spills registers: 0.4 of the speed), the residual is part of the start
 * values, and no two shapes share a method.
 */
final class TileGenerator {
  private static final ClassDesc TILE = desc(OneTile.class);
  private static final ClassDesc GENERATED = ClassDesc.of(ConvTile.class.getName() + "$Generated");
  private static final ClassDesc KERNELS = desc(VectorKernels.class);
  private static final ClassDesc FLOAT_VECTOR = desc(FloatVector.class);
  private static final ClassDesc VECTOR = desc(Vector.class);
  private static final ClassDesc SPECIES = desc(VectorSpecies.class);
  private static final ClassDesc MASK = ClassDesc.of("jdk.incubator.vector.VectorMask");
  private static final ClassDesc COMPARISON = desc(VectorOperators.Comparison.class);
  private static final ClassDesc FLOATS = CD_float.arrayType();
  private static final ClassDesc INTS = CD_int.arrayType();

  private static final ClassDesc REDUCTION = desc(ConvTile.Reduction.class);

  private static final MethodTypeDesc RUN =
      MethodTypeDesc.of(CD_void, FLOATS, CD_int, CD_int, CD_int, INTS, FLOATS, CD_int, REDUCTION);

  // The parameters of run, then its other local variables.
  private static final int ARENA = 1;
  private static final int IN_AT = 2;
  private static final int OUT_AT = 3;
  private static final int RESIDUAL_AT = 4;
  private static final int RUNS = 5;
  private static final int WEIGHTS = 6;
  private static final int WEIGHT_AT = 7;
  private static final int SUM = 8;
  private static final int END_SEGMENT = 9;
  private static final int BIAS_AT = 10;
  private static final int X_AT = 11;
  private static final int I = 12;
  private static final int X = 13;
  private static final int W = 14; // the first of the weights' vectors; accumulators follow

  private final ConvTile.Shape shape;
  private final CodeBuilder code;
  private final int lanes = VectorKernels.SPECIES.length();
  private final int vectors;
  private final int spacing;

  private TileGenerator(ConvTile.Shape shape, CodeBuilder code) {
    this.shape = shape;
    this.code = code;
    this.vectors = shape.vectors(lanes);
    this.spacing = shape.spacing(lanes);
    if (vectors * lanes != shape.channels() || (shape.groups() != 0 && shape.groups() != lanes)) {
      throw new IllegalArgumentException(
          "no registers for vectors of %d: %s".formatted(lanes, shape));
    }
  }

  /** Creates the tile of a shape, as a hidden class of its own. */
  static OneTile generate(ConvTile.Shape shape) {
    byte[] bytes =
        ClassFile.of()
            .build(
                GENERATED,
                type ->
                    type.withInterfaceSymbols(TILE)
                        .withFlags(ClassFile.ACC_FINAL | ClassFile.ACC_SYNTHETIC)
                        .withMethodBody(
                            "<init>",
                            MTD_void,
                            0,
                            code ->
                                code.aload(0)
                                    .invokespecial(CD_Object, "<init>", MTD_void)
                                    .return_())
                        .withMethodBody(
                            "run",
                            RUN,
                            ClassFile.ACC_PUBLIC,
                            code -> new TileGenerator(shape, code).write()));
    try {
      return (OneTile)
          MethodHandles.lookup()
              .defineHiddenClass(bytes, true)
              .lookupClass()
              .getDeclaredConstructor()
              .newInstance();
    } catch (IllegalAccessException
        | InstantiationException
        | NoSuchMethodException
        | InvocationTargetException e) {
      throw new IllegalStateException("the kernel for " + shape + " cannot be loaded", e);
    }
  }

  private void write() {
    int segment = accumulator(shape.pixels(), 0);
    ofReduction("biasAt", BIAS_AT);
    ofReduction("endSegment", END_SEGMENT);
    start();
    ofReduction("firstSegment", segment);
    loop(
        segment,
        () -> code.iload(END_SEGMENT),
        () -> {
          code.iload(IN_AT).aload(RUNS).iload(segment).iaload().iadd().istore(X_AT);
          code.iconst_0().istore(I);
          loop(I, () -> code.loadConstant(shape.in().segment()), this::multiply);
          if (shape.walk().gap() > 0) {
            advance(WEIGHT_AT, shape.walk().gap());
          }
        });
    finish();
    code.return_();
  }

  private void ofReduction(String component, int local) {
    code.aload(SUM);
    code.invokevirtual(REDUCTION, component, MethodTypeDesc.of(CD_int)).istore(local);
  }

  /** The accumulators' start: the bias, or bias plus residual. */
  private void start() {
    for (int v = 0; v < vectors; v++) {
      load(WEIGHTS, BIAS_AT, v * spacing);
      code.astore(W + v);
    }
    everyAccumulator((p, v) -> {
      code.aload(W + v);
      if (shape.out().residual() != null) {
        load(ARENA, RESIDUAL_AT, shape.residualAt(p) + v * spacing);
        code.invokevirtual(FLOAT_VECTOR, "add", MethodTypeDesc.of(FLOAT_VECTOR, VECTOR));
      }
      code.astore(accumulator(p, v));
    });
  }

  /** One float of every pixel times one row of weights. */
  private void multiply() {
    for (int v = 0; v < vectors; v++) {
      load(WEIGHTS, WEIGHT_AT, v * lanes);
      code.astore(W + v);
    }
    for (int p = 0; p < shape.pixels(); p++) {
      int pixel = shape.inputAt(p);
      if (shape.groups() > 0) {
        load(ARENA, X_AT, pixel);
      } else {
        species().aload(ARENA).iload(X_AT).loadConstant(pixel).iadd().faload();
        code.invokestatic(
            FLOAT_VECTOR, "broadcast", MethodTypeDesc.of(FLOAT_VECTOR, SPECIES, CD_float));
      }
      code.astore(X);
      for (int v = 0; v < vectors; v++) {
        code.aload(X).aload(W + v).aload(accumulator(p, v));
        code.invokevirtual(FLOAT_VECTOR, "fma", MethodTypeDesc.of(FLOAT_VECTOR, VECTOR, VECTOR));
        code.astore(accumulator(p, v));
      }
    }
    advance(X_AT, shape.walk().step());
    advance(WEIGHT_AT, shape.walk().row());
  }

  private void advance(int at, int by) {
    code.iload(at).loadConstant(by).iadd().istore(at);
  }

  /**
   * Stores the accumulators; with ReLU negative values become zero: x.blend(0, x.compare(LT, 0)).
   */
  private void finish() {
    everyAccumulator((p, v) -> {
      code.aload(accumulator(p, v));
      if (shape.out().relu()) {
        code.fconst_0().aload(accumulator(p, v));
        code.getstatic(desc(VectorOperators.class), "LT", COMPARISON).fconst_0();
        code.invokevirtual(FLOAT_VECTOR, "compare", MethodTypeDesc.of(MASK, COMPARISON, CD_float));
        code.invokevirtual(FLOAT_VECTOR, "blend", MethodTypeDesc.of(FLOAT_VECTOR, CD_float, MASK));
      }
      code.aload(ARENA).iload(OUT_AT).loadConstant(shape.outputAt(p) + v * spacing).iadd();
      code.invokevirtual(FLOAT_VECTOR, "intoArray", MethodTypeDesc.of(CD_void, FLOATS, CD_int));
    });
  }

  /** {@code for (; i < end; i++) body}. */
  private void loop(int i, Runnable end, Runnable body) {
    Label head = code.newLabel();
    Label exit = code.newLabel();
    code.labelBinding(head).iload(i);
    end.run();
    code.if_icmpge(exit);
    body.run();
    code.iinc(i, 1).goto_(head).labelBinding(exit);
  }

  /** Pushes {@code fromArray(SPECIES, array, at + offset)}. */
  private void load(int array, int at, int offset) {
    species().aload(array).iload(at).loadConstant(offset).iadd();
    code.invokestatic(
        FLOAT_VECTOR, "fromArray", MethodTypeDesc.of(FLOAT_VECTOR, SPECIES, FLOATS, CD_int));
  }

  private CodeBuilder species() {
    return code.getstatic(KERNELS, "SPECIES", SPECIES);
  }

  private int accumulator(int pixel, int vector) {
    return W + vectors + pixel * vectors + vector;
  }

  private interface Each {
    void at(int pixel, int vector);
  }

  private void everyAccumulator(Each each) {
    for (int p = 0; p < shape.pixels(); p++) {
      for (int v = 0; v < vectors; v++) {
        each.at(p, v);
      }
    }
  }

  private static ClassDesc desc(Class<?> type) {
    return type.describeConstable().orElseThrow();
  }
}
