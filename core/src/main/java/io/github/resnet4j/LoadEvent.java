package io.github.resnet4j;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import org.jspecify.annotations.Nullable;

/** A model was read from a checkpoint. */
@Name("io.github.resnet4j.Load")
@Label("Load a Model")
@Category("resnet4j")
@Enabled(false)
@StackTrace(false)
final class LoadEvent extends Event {
  private static final LoadEvent OFF = new LoadEvent();

  @Label("File")
  @Nullable String file;

  @Label("File Size")
  @DataAmount
  long bytes;

  @Label("Network")
  @Description("The name of the architecture, or its structure")
  @Nullable String network;

  @Label("Parameters")
  long parameters;

  /** A started event, or null if no recording has enabled it. */
  static @Nullable LoadEvent started() {
    if (!OFF.isEnabled()) {
      return null;
    }
    var event = new LoadEvent();
    event.begin();
    return event;
  }
}
