package io.github.resnet4j.spring;

import io.github.resnet4j.engine.Precision;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * The properties {@code resnet4j.*}. Without model and weights, the embedded model for handwritten
 * digits is used.
 *
 * @param model the name of a network: {@code resnet50}
 * @param weights {@code DEFAULT}, the name of published weights, a file, or {@code hf:owner/name}
 * @param precision the precision of the computation; by default that of the weights
 * @param threads the number of threads; 0, the default, for all cores
 * @param batchSize the number of images that run together
 * @param maxPixels the largest accepted image, in pixels
 * @param engine {@code resnet4j}, or {@code onnxruntime} if its module and jar are there
 * @param provider the provider of {@code onnxruntime}: {@code cpu}, {@code cuda}
 */
@ConfigurationProperties("resnet4j")
public record ResNetProperties(
    @Nullable String model,
    @Nullable String weights,
    @DefaultValue("weights") Precision precision,
    @DefaultValue("0") int threads,
    @DefaultValue("16") int batchSize,
    @DefaultValue("25000000") long maxPixels,
    @DefaultValue("resnet4j") String engine,
    @DefaultValue("cpu") String provider) {}
