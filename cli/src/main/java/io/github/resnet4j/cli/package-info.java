/** The {@code resnet4j} command: one class per subcommand. */
@NullMarked
package io.github.resnet4j.cli;

import org.jspecify.annotations.NullMarked;
