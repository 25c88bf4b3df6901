package io.github.resnet4j.cli;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** An output path. {@link Arguments} checks that it is writable before the command runs. */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.FIELD)
@interface Output {
  /** The allowed file name extensions; any if empty. */
  String[] endings() default {};

  /** Whether it is a folder, which is created if it does not exist. */
  boolean folder() default false;
}
