package io.github.resnet4j.cli;

import io.github.resnet4j.datasets.ImageNet;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Target;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.List;

/**
 * Replaces the classes of a data set by those of a model with the same names. ImageNet's classes
 * are also found by their {@linkplain ImageNet#index synset or number}.
 *
 * @param from the classes of the data set
 * @param to the labels of the model
 */
record LabelMapping(List<String> from, List<String> to) {
  /**
   * The images with the model's indices. Each is made when it is asked for, so those of shards stay
   * in their files.
   *
   * @throws IOException if the model lacks a class or a number of an image
   */
  List<Example> map(List<Example> examples) throws IOException {
    for (Example example : examples) {
      map(example);
    }
    return new AbstractList<>() {
      @Override
      public Example get(int index) {
        try {
          return map(examples.get(index));
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
      }

      @Override
      public int size() {
        return examples.size();
      }
    };
  }

  /**
   * The image with the model's indices.
   *
   * @throws IOException if the model lacks a class or a number of the image
   */
  Example map(Example example) throws IOException {
    Target target =
        switch (example.target()) {
          case Target.Label(int index) -> new Target.Label(index(example, index));
          case Target.Labels(List<Integer> indices) -> {
            var found = new ArrayList<Integer>();
            for (int index : indices) {
              found.add(index(example, index));
            }
            yield new Target.Labels(found);
          }
          case Target.Values(List<Float> values) -> {
            var found = new ArrayList<Float>();
            for (String name : to) {
              int index = from.indexOf(name);
              if (index < 0) {
                throw new IOException(
                    "%s: the model predicts '%s', which the images do not have; they have %s"
                        .formatted(example.name(), name, String.join(", ", from)));
              }
              found.add(values.get(index));
            }
            yield new Target.Values(found);
          }
        };
    return new Example(example.name(), target, example.source());
  }

  private int index(Example example, int label) throws IOException {
    String name = from.get(label);
    int index = to.indexOf(name);
    if (index < 0 && ImageNet.hasClasses(to)) {
      index = ImageNet.index(name).orElse(-1);
    }
    if (index < 0) {
      throw new IOException(
          "%s: the model has no class '%s'%s; it has %s%s"
              .formatted(
                  example.name(),
                  name,
                  Suggestion.of(name, to),
                  String.join(", ", to.subList(0, Math.min(10, to.size()))),
                  to.size() > 10 ? ", …" : ""));
    }
    return index;
  }
}
