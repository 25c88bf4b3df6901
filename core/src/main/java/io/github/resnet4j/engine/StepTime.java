package io.github.resnet4j.engine;

/**
 * A step of a plan and its measured time.
 *
 * @param name the layer that the step computes
 * @param algorithm how the step computes it
 * @param shape the shape of its result for one image, {@code CxHxW}
 * @param images the number of images processed together
 * @param flops multiplications and additions for one image, counted as for direct convolution
 * @param seconds for one image, on all threads; the median of several runs, or 0 if not measured
 */
public record StepTime(
    String name, String algorithm, String shape, int images, long flops, double seconds) {}
