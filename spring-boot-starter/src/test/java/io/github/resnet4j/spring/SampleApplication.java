package io.github.resnet4j.spring;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.image.Image;
import java.io.IOException;
import java.util.List;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;

/** A sample: classifies the image of a request; application.properties has its settings. */
@SpringBootApplication
@RestController
public class SampleApplication {
  private final Classifier classifier;

  SampleApplication(Classifier classifier) {
    this.classifier = classifier;
  }

  @PostMapping("/classify")
  List<Prediction> classify(@RequestBody byte[] image) throws IOException {
    return classifier.classify(Image.of("the request's image", image), 3);
  }

  public static void main(String[] args) {
    SpringApplication.run(SampleApplication.class, args);
  }
}
