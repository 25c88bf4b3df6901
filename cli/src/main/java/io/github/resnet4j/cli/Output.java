package io.github.resnet4j.cli;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** A path that a command writes to: whether it can is checked before the command runs. */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.FIELD)
@interface Output {
  /** How the file's name may end, its format; any way if there are none. */
  String[] endings() default {};

  /** Whether it is a folder, which is made if it does not exist. */
  boolean folder() default false;
}
