package io.github.resnet4j.engine;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import org.jspecify.annotations.Nullable;

/** A network was compiled for an input size. */
@Name("io.github.resnet4j.Compile")
@Label("Compile a Network")
@Category("resnet4j")
@Enabled(false)
@StackTrace(false)
final class CompileEvent extends Event {
  private static final CompileEvent OFF = new CompileEvent();

  @Label("Height")
  int height;

  @Label("Width")
  int width;

  @Label("Images")
  @Description("Number of images that a thread processes together")
  int images;

  @Label("Parts")
  @Description("Number of threads among which an image is split")
  int parts;

  @Label("Steps")
  int steps;

  @Label("Activations")
  @Description("Memory for activations of each thread")
  @DataAmount
  long arenaBytes;

  @Label("Precision")
  @Nullable String precision;

  @Label("Kernels")
  @Nullable String kernels;

  /** A started event, or null if no recording has enabled it. */
  static @Nullable CompileEvent started() {
    if (!OFF.isEnabled()) {
      return null;
    }
    var event = new CompileEvent();
    event.begin();
    return event;
  }
}
