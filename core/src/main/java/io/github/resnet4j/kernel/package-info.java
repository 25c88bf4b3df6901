/**
 * Loops over arrays and the team of threads that runs them; knows nothing of networks. {@link
 * io.github.resnet4j.kernel.Kernels} hands out the families; docs/engine.md says in which order to
 * read their machine code.
 */
@NullMarked
package io.github.resnet4j.kernel;

import org.jspecify.annotations.NullMarked;
