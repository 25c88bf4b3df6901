import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import java.io.ByteArrayInputStream;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Callable;
import javax.imageio.ImageIO;

/** Measures decoding and preprocessing of images in memory with one thread; used by speed.py. */
static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

void main(String[] files) throws Exception {
  ImageIO.setUseCache(false);
  var preprocessing = Preprocessing.imagenet(256, 224);
  for (String file : files) {
    byte[] bytes = Files.readAllBytes(Path.of(file));
    var pixels = ImageDecoder.DEFAULT.decode(file, bytes);
    IO.println(
        "%s %.3f %.3f %.3f"
            .formatted(
                file,
                median(() -> ImageDecoder.DEFAULT.decode(file, bytes)),
                median(() -> preprocessing.apply(pixels)),
                median(() -> ImageIO.read(new ByteArrayInputStream(bytes)))));
  }
}

/**
 * The median CPU time of this thread in milliseconds, after a warm-up of three seconds: with fewer runs the JIT compiler would not have finished.
 */
double median(Callable<?> task) throws Exception {
  long warm = THREADS.getCurrentThreadCpuTime() + 3_000_000_000L;
  while (THREADS.getCurrentThreadCpuTime() < warm) {
    task.call();
  }
  double[] times = new double[101];
  for (int i = 0; i < times.length; i++) {
    long start = THREADS.getCurrentThreadCpuTime();
    task.call();
    times[i] = (THREADS.getCurrentThreadCpuTime() - start) / 1e6;
  }
  Arrays.sort(times);
  return times[times.length / 2];
}
