package io.github.resnet4j.server;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;
import org.jspecify.annotations.Nullable;

/** The server ran a batch of images that were waiting. */
@Name("io.github.resnet4j.Batch")
@Label("Batch of the Server")
@Category("resnet4j")
@Enabled(false)
@StackTrace(false)
final class BatchEvent extends Event {
  private static final BatchEvent OFF = new BatchEvent();

  @Label("Model")
  @Nullable String model;

  @Label("Batch Size")
  int batchSize;

  @Label("Longest Time in the Queue")
  @Timespan(Timespan.NANOSECONDS)
  long queueTime;

  /** A started event, or null if no recording has enabled it. */
  static @Nullable BatchEvent started() {
    if (!OFF.isEnabled()) {
      return null;
    }
    var event = new BatchEvent();
    event.begin();
    return event;
  }
}
