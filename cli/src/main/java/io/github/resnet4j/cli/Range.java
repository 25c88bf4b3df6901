package io.github.resnet4j.cli;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The legal range of a numeric option, or of each of its values; {@link Arguments} rejects other
 * values before the command runs. NaN and infinity are always rejected.
 */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.FIELD)
@interface Range {
  /** The smallest legal value. */
  double min() default Double.NEGATIVE_INFINITY;

  /** Legal values are above this one. */
  double above() default Double.NEGATIVE_INFINITY;

  /** The largest legal value. */
  double max() default Double.POSITIVE_INFINITY;

  /** Legal values are below this one. */
  double below() default Double.POSITIVE_INFINITY;
}
