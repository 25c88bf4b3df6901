/** A {@link io.github.resnet4j.Classifier} as a bean of Spring Boot. */
@NullMarked
package io.github.resnet4j.spring;

import org.jspecify.annotations.NullMarked;
