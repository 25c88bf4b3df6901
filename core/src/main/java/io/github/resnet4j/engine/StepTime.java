package io.github.resnet4j.engine;

/**
 * One step of a plan and the time that it took.
 *
 * @param name the layer it computes
 * @param algorithm how
 * @param shape what it writes for one image, {@code CxHxW}
 * @param images taken at once
 * @param flops multiplications and additions for one image, counted as direct convolution has them
 * @param seconds for one image, on all threads; the median of several runs, 0 if not measured
 */
public record StepTime(
    String name, String algorithm, String shape, int images, long flops, double seconds) {}
