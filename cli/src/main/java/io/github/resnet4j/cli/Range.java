package io.github.resnet4j.cli;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The legal values of an option's number, or of each of its numbers; {@link Arguments} refuses
 * others before the command runs. NaN and infinite numbers are never legal.
 */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.FIELD)
@interface Range {
  /** The least legal value. */
  double min() default Double.NEGATIVE_INFINITY;

  /** Legal values are above this one. */
  double above() default Double.NEGATIVE_INFINITY;

  /** The largest legal value. */
  double max() default Double.POSITIVE_INFINITY;

  /** Legal values are below this one. */
  double below() default Double.POSITIVE_INFINITY;
}
