package io.github.resnet4j.engine.inference;

/**
 * The input for which a plan is compiled.
 *
 * @param height the height of an image in pixels
 * @param width the width of an image in pixels
 * @param images the largest number of images processed together
 * @param parts the number of threads among which each step is split
 */
public record Workload(int height, int width, int images, int parts) {}
