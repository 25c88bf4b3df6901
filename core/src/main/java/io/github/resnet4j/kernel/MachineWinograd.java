package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;

import io.github.resnet4j.kernel.Vec.Width;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Winograd's transforms in machine code, which {@link MachineWinogradCode} writes. */
final class MachineWinograd implements WinogradKernels {
  private static final MethodHandle TRANSFORM = MachineCode.caller(3, 6);
  private static final MethodHandle OUTPUT = MachineCode.caller(6, 9);

  /** Tiles of a call: some 20 µs, since the garbage collector waits for it. */
  private static final int TILES_OF_A_CALL = 32;

  private final Width width;
  private final MachineCache cache;

  MachineWinograd(Width width, MachineCache cache) {
    this.width = width;
    this.cache = cache;
  }

  private record TransformCode(boolean ofInput, Winograd form, int block) {}

  @Override
  public Transform input(Winograd form, Plane in, Ints places, int step) {
    var constants = new TransformCode(true, form, in.block());
    return transform(constants, in, places, step);
  }

  @Override
  public Transform gradient(Winograd form, Plane in, Ints places, int step) {
    var constants = new TransformCode(false, form, in.block());
    return transform(constants, in, places, step);
  }

  private Transform transform(TransformCode constants, Plane in, Ints places, int step) {
    MachineKernels.checkBlock(constants.block, width);
    checkStep(step);
    Winograd form = constants.form;
    MemorySegment code =
        cache.get(
            constants,
            () ->
                constants.ofInput
                    ? MachineWinogradCode.input(form, constants.block, width)
                    : MachineWinogradCode.gradient(form, constants.block, width));
    long inSpan = in.span(constants.ofInput ? form.inputs() : form.outputs());
    return (arena, first, end, from, to, _) -> {
      Objects.checkFromToIndex(first, end, places.size());
      check(arena, (long) from + places.least, from + places.most + inSpan);
      checkProducts(arena, to, form, step, (long) (end - first) * constants.block);
      MemorySegment memory = arena.enter();
      for (int i = first; i < end; i += TILES_OF_A_CALL) {
        try {
          TRANSFORM.invokeExact(
              code,
              memory,
              memory,
              places.segment,
              4L * from,
              4L * (to + (i - first) * constants.block),
              4L * i,
              (long) Math.min(TILES_OF_A_CALL, end - i),
              4L * in.rowStride(),
              4L * step);
        } catch (Throwable e) {
          throw unexpected(e);
        }
      }
      arena.leave();
    };
  }

  private static void checkStep(int step) {
    if (step < 0) {
      throw new IllegalArgumentException("products %d apart".formatted(step));
    }
  }

  private static void checkProducts(Floats arena, int at, Winograd form, int step, long words) {
    check(arena, at, at + (form.products() - 1L) * step + words);
  }

  /** What the code of an output transform depends on. */
  record OutputCode(
      Winograd form,
      int channels,
      int pixelStride,
      boolean residual,
      boolean relu,
      boolean rounded) {}

  @Override
  public Output output(Winograd form, int channels, int step, Places places, Epilogue epilogue) {
    Plane out = epilogue.out();
    MachineKernels.checkBlock(channels, width);
    MachineKernels.checkBlock(out.block(), width);
    checkStep(step);
    if (places.rows().most > form.outputs() || places.columns().most > form.outputs()) {
      throw new IllegalArgumentException("more outputs than a tile has");
    }
    var constants =
        new OutputCode(
            form,
            channels,
            out.block(),
            epilogue.residual() != null,
            epilogue.relu(),
            epilogue.rounded());
    MemorySegment code = cache.get(constants, () -> MachineWinogradCode.output(constants, width));
    return new OutputLaunch(code, form, channels, step, places, epilogue);
  }

  private record OutputLaunch(
      MemorySegment code, Winograd form, int channels, int step, Places places, Epilogue epilogue)
      implements Output {
    @Override
    public void run(
        Floats arena, int first, int end, int from, int bias, int out, int residual, int scratch) {
      Objects.checkFromToIndex(first, end, places.out().size());
      Objects.checkFromToIndex(first, end, places.rows().size());
      Objects.checkFromToIndex(first, end, places.columns().size());
      checkProducts(arena, from, form, step, (long) (end - first) * channels);
      check(epilogue.biases(), bias, (long) bias + channels);
      checkOutputs(arena, out, places.out(), first, end, epilogue.out());
      Plane added = epilogue.residual();
      if (added != null) {
        Objects.checkFromToIndex(first, end, places.residual().size());
        checkOutputs(arena, residual, places.residual(), first, end, added);
      }
      MemorySegment memory = arena.enter();
      for (int i = first; i < end; i += TILES_OF_A_CALL) {
        try {
          OUTPUT.invokeExact(
              code,
              memory,
              epilogue.biases().enter(),
              places.out().segment,
              places.residual().segment,
              places.rows().segment,
              places.columns().segment,
              4L * (from + (i - first) * channels),
              4L * out,
              4L * residual,
              4L * bias,
              4L * i,
              (long) Math.min(TILES_OF_A_CALL, end - i),
              4L * step,
              4L * epilogue.out().rowStride(),
              4L * rowStride(added));
        } catch (Throwable e) {
          throw unexpected(e);
        }
      }
      arena.leave();
    }

    private static int rowStride(@Nullable Plane plane) {
      return plane == null ? 0 : plane.rowStride();
    }

    /** Of outputs (or residuals), only those that exist: a tile may overhang its image. */
    private void checkOutputs(Floats arena, int at, Ints where, int first, int end, Plane plane) {
      long last = 0;
      for (int t = first; t < end; t++) {
        // The first row and column are always written.
        long rows = Math.max(1, places.rows().values[t]) - 1;
        long columns = Math.max(1, places.columns().values[t]) - 1;
        long pixel = where.values[t] + rows * plane.rowStride() + columns * plane.block();
        last = Math.max(last, pixel + channels);
      }
      check(arena, (long) at + where.least, 0);
      check(arena, 0, at + last);
    }
  }
}
