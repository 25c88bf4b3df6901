/** The {@code resnet4j} command: one class a subcommand. */
@NullMarked
package io.github.resnet4j.cli;

import org.jspecify.annotations.NullMarked;
