package io.github.resnet4j.messages;

/** The events for Java Flight Recorder; all are off unless a recording enables them. */
public final class Events {
  /** Whether the JVM has Java Flight Recorder; a small runtime image may lack its module. */
  public static final boolean AVAILABLE = ModuleLayer.boot().findModule("jdk.jfr").isPresent();

  private Events() {}
}
