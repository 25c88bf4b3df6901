package io.github.resnet4j.engine;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import org.jspecify.annotations.Nullable;

/** A compiled network was run on a batch. */
@Name("io.github.resnet4j.Run")
@Label("Run a Network")
@Category("resnet4j")
@Enabled(false)
@StackTrace(false)
final class RunEvent extends Event {
  private static final RunEvent OFF = new RunEvent();

  @Label("Batch Size")
  int batchSize;

  @Label("Height")
  int height;

  @Label("Width")
  int width;

  @Label("Threads")
  int threads;

  @Label("Precision")
  @Nullable String precision;

  @Label("Kernels")
  @Nullable String kernels;

  /** A started event, or null if no recording has enabled it. */
  static @Nullable RunEvent started() {
    if (!OFF.isEnabled()) {
      return null;
    }
    var event = new RunEvent();
    event.begin();
    return event;
  }
}
