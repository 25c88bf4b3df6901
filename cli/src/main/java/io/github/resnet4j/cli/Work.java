package io.github.resnet4j.cli;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * What a command does with the JVM, which decides how the launcher starts it. The launcher reads it
 * from a table, {@code lib/commands.tsv}. A command without this annotation is {@link Kind#QUICK}.
 */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
@interface Work {
  Kind value();

  /** The kinds of work. */
  enum Kind {
    /** Over in a second or two. */
    QUICK,
    /** A network on the images that are given: quick with a few, long with many. */
    PREDICTION,
    /** Minutes of computing. */
    LONG,
    /** Times of the network, which garbage collection must not disturb. */
    MEASURING,
    /** Most of the memory of the machine. */
    TRAINING,
    /** Should answer soon, and run for days. */
    SERVER
  }
}
