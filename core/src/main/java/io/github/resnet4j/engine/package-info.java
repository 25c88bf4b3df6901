/**
 * Runs a network: compiled sessions for inference and training, calibration, and a reference
 * implementation.
 */
@NullMarked
package io.github.resnet4j.engine;

import org.jspecify.annotations.NullMarked;
