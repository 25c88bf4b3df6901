package io.github.resnet4j.cli;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The kind of work of a command, from which the launcher chooses the options of the JVM. The
 * launcher reads it from a table, {@code lib/commands.tsv}. A command without this annotation is
 * {@link Kind#QUICK}.
 */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
@interface Workload {
  Kind value();

  /** The kinds of work. */
  enum Kind {
    /** Finishes in a second or two. */
    QUICK,
    /** Inference on the given images: quick for a few, long for many. */
    PREDICTION,
    /** Minutes of computing. */
    LONG,
    /** Time measurements, which garbage collection must not disturb. */
    MEASURING,
    /** Training, which uses most of the memory of the machine. */
    TRAINING,
    /** A server: starts quickly and runs for days. */
    SERVER
  }
}
