package io.github.resnet4j.engine.inference;

/**
 * What a plan is made for.
 *
 * @param height of an image
 * @param width of an image
 * @param images that run at once, at most
 * @param parts among how many threads each step is split
 */
public record Workload(int height, int width, int images, int parts) {}
