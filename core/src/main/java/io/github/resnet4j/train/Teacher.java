package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.Tensor;

/** The teacher of a {@link Distillation}, compiled for inference. */
final class Teacher implements AutoCloseable {
  /** More images per batch are not faster, and need more memory. */
  private static final int MAX_BATCH = 32;

  private final Session session;
  private final int classes;
  private final Preprocessing own;
  private final Preprocessing student;

  /**
   * @param student the preprocessing of the images; those of the teacher may have other means and
   *     deviations
   */
  Teacher(Model model, Preprocessing student, int threads) {
    this.session = model.network().compile(CompileOptions.defaults().withThreads(threads));
    this.classes = model.labels().size();
    this.own = model.preprocessing();
    this.student = student;
  }

  /**
   * The teacher's logits, {@code [count, classes]}.
   *
   * @param images {@code [N, C, H, W]}, of which the first {@code count} are filled
   */
  float[] logits(Tensor images, int count) {
    int[] shape = images.shape();
    int size = images.size() / shape[0];
    float[] logits = new float[count * classes];
    for (int from = 0; from < count; from += MAX_BATCH) {
      int some = Math.min(MAX_BATCH, count - from);
      var batch = Tensor.zeros(some, shape[1], shape[2], shape[3]);
      System.arraycopy(images.data(), from * size, batch.data(), 0, some * size);
      renormalize(batch);
      float[] rows = session.run(batch).data();
      System.arraycopy(rows, 0, logits, from * classes, rows.length);
    }
    return logits;
  }

  /** Replaces the student's mean and deviation of each channel by the teacher's. */
  private void renormalize(Tensor batch) {
    if (own.mean().equals(student.mean()) && own.std().equals(student.std())) {
      return;
    }
    float[] data = batch.data();
    int plane = batch.dim(2) * batch.dim(3);
    for (int i = 0; i < data.length; i++) {
      int channel = i / plane % batch.dim(1);
      float value = data[i] * student.std().get(channel) + student.mean().get(channel);
      data[i] = (value - own.mean().get(channel)) / own.std().get(channel);
    }
  }

  @Override
  public void close() {
    session.close();
  }
}
