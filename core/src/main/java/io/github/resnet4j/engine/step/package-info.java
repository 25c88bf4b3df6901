/** What runs: steps without weights, the memory of a run, and its threads. */
@NullMarked
package io.github.resnet4j.engine.step;

import org.jspecify.annotations.NullMarked;
