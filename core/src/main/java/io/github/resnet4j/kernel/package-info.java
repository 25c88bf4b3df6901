/** Loops over arrays and the team of threads that runs them; knows nothing of networks. */
@NullMarked
package io.github.resnet4j.kernel;

import org.jspecify.annotations.NullMarked;
