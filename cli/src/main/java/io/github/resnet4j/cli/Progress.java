package io.github.resnet4j.cli;

import io.github.resnet4j.checkpoint.Download;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.jspecify.annotations.Nullable;

/** A progress bar for work that takes longer than a second, if stderr is a terminal. */
final class Progress implements AutoCloseable {
  private static final long PATIENCE_NANOS = 1_000_000_000L;

  private final String task;
  private final String unit;
  private final long unitSize;
  private final boolean visible = System.getenv("TERM") != null && isTerminal();
  private final long start = System.nanoTime();
  private @Nullable ProgressBar bar;

  Progress(String task, String unit, long unitSize) {
    this.task = task;
    this.unit = unit;
    this.unitSize = unitSize;
  }

  private static boolean isTerminal() {
    // Since JDK 22 System.console() exists even when streams are redirected, so the launcher passes
    // whether stderr is a terminal.
    return Boolean.getBoolean("resnet4j.stderr.terminal");
  }

  /** Updates the bar; a total of −1 means unknown. */
  void at(long done, long total) {
    at(done, total, "");
  }

  /** Updates the bar and the message after it. */
  void at(long done, long total, String message) {
    if (!visible || System.nanoTime() - start < PATIENCE_NANOS) {
      return;
    }
    ProgressBar shown = bar;
    if (shown == null) {
      var builder =
          new ProgressBarBuilder()
              .setTaskName(task)
              .setInitialMax(total)
              .setUnit(unit, unitSize)
              .setStyle(ProgressBarStyle.COLORFUL_UNICODE_BAR)
              .setUpdateIntervalMillis(100);
      // Message and speed together do not fit into 80 columns.
      shown = (message.isEmpty() ? builder.showSpeed() : builder).build();
      bar = shown;
    }
    shown.maxHint(total);
    shown.setExtraMessage(message.isEmpty() ? "" : " " + message);
    shown.stepTo(done);
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }

  /** One bar for each downloaded file. */
  static final class ForDownloads implements AutoCloseable {
    private @Nullable Progress current;
    private String file = "";

    Download download() {
      return new Download(this::at);
    }

    private void at(String name, long bytes, long total) {
      Progress progress = current;
      if (progress == null || !name.equals(file)) {
        close();
        file = name;
        progress = new Progress(name, " MB", 1 << 20);
        current = progress;
      }
      progress.at(bytes, total);
    }

    @Override
    public void close() {
      if (current != null) {
        current.close();
      }
    }
  }
}
