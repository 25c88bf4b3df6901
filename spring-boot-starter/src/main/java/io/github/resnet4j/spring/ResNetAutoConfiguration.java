package io.github.resnet4j.spring;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.image.ImageDecoder;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.binder.MeterBinder;
import java.io.IOException;
import java.util.Optional;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.health.autoconfigure.contributor.ConditionalOnEnabledHealthIndicator;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/**
 * A {@link Classifier}, opened with the application and closed with it; its health and metrics if
 * the application has Spring Boot's modules for them.
 */
@AutoConfiguration
@EnableConfigurationProperties(ResNetProperties.class)
public class ResNetAutoConfiguration {
  /** The classifier of {@link ResNetProperties}, unless the application has its own. */
  @Bean(destroyMethod = "close")
  @ConditionalOnMissingBean
  public Classifier classifier(ResNetProperties properties) throws IOException {
    var builder =
        Classifier.builder()
            .precision(properties.precision())
            .batchSize(properties.batchSize())
            .decoder(new ImageDecoder(false, properties.maxPixels()))
            .engine(new EngineChoice(properties.engine(), properties.provider()));
    if (properties.threads() != 0) {
      builder.threads(properties.threads());
    }
    String weights = properties.weights();
    if (properties.model() == null && weights == null) {
      return builder.embedded();
    }
    return builder.of(
        Model.of(
            Weights.find(
                Optional.ofNullable(properties.model()),
                weights == null ? "DEFAULT" : weights,
                System.getenv(),
                new Download((_, _, _) -> {}))));
  }

  private static String name(Classifier classifier) {
    return Architecture.nameOf(classifier.model().network().spec()).orElse("resnet");
  }

  /** The health {@code resnet4j}. */
  @Configuration(proxyBeanMethods = false)
  @ConditionalOnClass({HealthIndicator.class, ConditionalOnEnabledHealthIndicator.class})
  @ConditionalOnEnabledHealthIndicator("resnet4j")
  static class HealthConfiguration {
    /** Runs the network on an empty image: down if it is closed or gives no finite numbers. */
    @Bean
    @ConditionalOnMissingBean(name = "resnet4jHealthIndicator")
    HealthIndicator resnet4jHealthIndicator(Classifier classifier) {
      return () -> {
        try {
          var outputs = classifier.run(classifier.model().preprocessing().batch(1));
          var health = outputs.embeddings().isFinite() ? Health.up() : Health.down();
          return health
              .withDetail("network", name(classifier))
              .withDetail("precision", classifier.precision().name())
              .build();
        } catch (RuntimeException e) {
          return Health.down(e).build();
        }
      };
    }
  }

  /** The metrics of the model; requests are timed by Spring Boot's own metrics. */
  @Configuration(proxyBeanMethods = false)
  @ConditionalOnClass(MeterBinder.class)
  static class MetricsConfiguration {
    @Bean
    @ConditionalOnMissingBean(name = "resnet4jMetrics")
    MeterBinder resnet4jMetrics(Classifier classifier) {
      return registry -> {
        Gauge.builder(
                "resnet4j.model.parameters",
                classifier,
                each -> each.model().network().state().size())
            .description("The number of parameters and running statistics of the network")
            .tag("network", name(classifier))
            .tag("precision", classifier.precision().name())
            .tag("engine", classifier.options().engine().name())
            .register(registry);
        Gauge.builder("resnet4j.threads", classifier, each -> each.options().threads())
            .description("The number of threads of the classifier")
            .register(registry);
      };
    }
  }
}
