import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Callable;

/** Times decoding and preprocessing of pictures in memory, one thread; speed.py runs it. */
void main(String[] files) throws Exception {
  var preprocessing = Preprocessing.imagenet(256, 224);
  for (String file : files) {
    byte[] bytes = Files.readAllBytes(Path.of(file));
    var pixels = ImageDecoder.DEFAULT.decode(file, bytes);
    IO.println(
        "%s %.3f %.3f"
            .formatted(
                file,
                median(() -> ImageDecoder.DEFAULT.decode(file, bytes)),
                median(() -> preprocessing.apply(pixels))));
  }
}

/** Milliseconds, after the JIT has seen it often. */
double median(Callable<?> task) throws Exception {
  double[] times = new double[101];
  for (int i = -200; i < times.length; i++) {
    long start = System.nanoTime();
    task.call();
    if (i >= 0) {
      times[i] = (System.nanoTime() - start) / 1e6;
    }
  }
  Arrays.sort(times);
  return times[times.length / 2];
}
