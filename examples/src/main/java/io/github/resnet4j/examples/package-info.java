/** Small programs that use the library; each is a file of its own. */
@NullMarked
package io.github.resnet4j.examples;

import org.jspecify.annotations.NullMarked;
