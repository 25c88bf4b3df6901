package io.github.resnet4j.benchmarks;

import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.tensor.Tensor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * The resnet4j process of {@code peers/run loadgen}: loads a network and samples, and prints the
 * name of its kernels. Each line on standard input lists the samples of one batch by index; the
 * answer is a line with the class of each. The end of input ends it.
 */
public final class QueryPeer {
  private QueryPeer() {}

  /**
   * @param arguments as for {@link Peer}; the input is {@code [samples, C, H, W]}
   */
  public static void main(String[] arguments) throws IOException {
    Tensor samples = Npy.read(Path.of(arguments[2]));
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (Session session = Peer.compile(arguments, samples)) {
      Npy.write(Path.of(arguments[3]), session.run(samples));
      System.out.println(session.kernels());
      System.out.flush();
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        System.out.println(classes(session, batch(samples, line.strip().split(" "))));
        System.out.flush();
      }
    }
  }

  private static Tensor batch(Tensor samples, String[] indices) {
    int size = samples.size() / samples.dim(0);
    Tensor batch = Tensor.zeros(indices.length, samples.dim(1), samples.dim(2), samples.dim(3));
    for (int i = 0; i < indices.length; i++) {
      int from = Integer.parseInt(indices[i]) * size;
      System.arraycopy(samples.data(), from, batch.data(), i * size, size);
    }
    return batch;
  }

  private static String classes(Session session, Tensor batch) {
    Tensor logits = session.run(batch);
    int classes = logits.dim(1);
    var line = new StringBuilder();
    for (int i = 0; i < batch.dim(0); i++) {
      int best = 0;
      for (int c = 1; c < classes; c++) {
        if (logits.data()[i * classes + c] > logits.data()[i * classes + best]) {
          best = c;
        }
      }
      line.append(i == 0 ? "" : " ").append(best);
    }
    return line.toString();
  }
}
