package io.github.resnet4j.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Classifier;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.BeanCreationException;
import org.springframework.boot.SpringApplication;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.core.env.MapPropertySource;

/** Starts the sample and sends requests. */
class SampleApplicationTest {
  private static final Path SAMPLES = Path.of("..", "samples");

  @Test
  void classifiesAndReportsHealthAndMetrics() throws Exception {
    Classifier classifier;
    try (var application = SpringApplication.run(SampleApplication.class);
        var client = HttpClient.newHttpClient()) {
      classifier = application.getBean(Classifier.class);
      assertEquals(2, classifier.options().threads());
      String address =
          "http://127.0.0.1:" + application.getEnvironment().getProperty("local.server.port");
      var image = HttpRequest.BodyPublishers.ofFile(SAMPLES.resolve("digit-6.png"));
      var response =
          send(client, HttpRequest.newBuilder(URI.create(address + "/classify")).POST(image));
      assertEquals(200, response.statusCode(), response.body());
      assertTrue(
          response.body().startsWith("[{\"index\":6,\"label\":\"6\",\"probability\":0.98"),
          response.body());
      String health =
          send(client, HttpRequest.newBuilder(URI.create(address + "/actuator/health"))).body();
      assertTrue(health.contains("\"resnet4j\":{\"details\":{\"network\":"), health);
      assertTrue(health.contains("\"precision\":\"FP32\"},\"status\":\"UP\"}"), health);
      String threads =
          send(
                  client,
                  HttpRequest.newBuilder(
                      URI.create(address + "/actuator/metrics/resnet4j.threads")))
              .body();
      assertTrue(threads.contains("\"value\":2.0"), threads);
      classifier.close();
      String down =
          send(client, HttpRequest.newBuilder(URI.create(address + "/actuator/health"))).body();
      assertTrue(down.startsWith("{\"components\"") && down.contains("\"status\":\"DOWN\""), down);
    }
  }

  @Test
  void classifierIsClosedWithTheApplicationAndAWrongFileStopsIt() throws IOException {
    Classifier classifier;
    try (var context = context(Map.of("resnet4j.threads", "1"))) {
      classifier = context.getBean(Classifier.class);
    }
    assertThrows(
        IllegalStateException.class, () -> classifier.classify(SAMPLES.resolve("digit-6.png"), 1));
    var wrong = Map.<String, Object>of("resnet4j.weights", "missing.pth");
    String message =
        assertThrows(BeanCreationException.class, () -> context(wrong).close()).getMessage();
    assertTrue(message.contains("missing.pth: does not exist"), message);
  }

  /** The starter without an application. */
  private static AnnotationConfigApplicationContext context(Map<String, Object> properties) {
    var context = new AnnotationConfigApplicationContext();
    context
        .getEnvironment()
        .getPropertySources()
        .addFirst(new MapPropertySource("test", properties));
    context.register(ResNetAutoConfiguration.class);
    context.refresh();
    return context;
  }

  private static HttpResponse<String> send(HttpClient client, HttpRequest.Builder request)
      throws IOException, InterruptedException {
    return client.send(request.build(), BodyHandlers.ofString());
  }
}
