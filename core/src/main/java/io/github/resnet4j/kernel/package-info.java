/**
 * Loops over arrays and the threads that run them; independent of networks. {@link
 * io.github.resnet4j.kernel.Kernels} provides the families of kernels; docs/engine.md says in which
 * order to read their machine code.
 */
@NullMarked
package io.github.resnet4j.kernel;

import org.jspecify.annotations.NullMarked;
