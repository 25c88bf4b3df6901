package io.github.resnet4j.checkpoint;

import java.nio.file.Path;
import java.util.Map;

/** PyTorch's cache folder of downloaded weights. */
public final class TorchHub {
  private TorchHub() {}

  /**
   * {@code $TORCH_HOME/hub/checkpoints}, by default {@code ~/.cache/torch/hub/checkpoints}, as in
   * {@code torch.hub}.
   *
   * @param environment usually {@link System#getenv()}
   */
  public static Path folder(Map<String, String> environment) {
    String home = environment.getOrDefault("TORCH_HOME", "");
    Path root = home.isBlank() ? userCache(environment).resolve("torch") : Path.of(home);
    return root.resolve("hub").resolve("checkpoints");
  }

  /** {@code $XDG_CACHE_HOME}, by default {@code ~/.cache}. */
  static Path userCache(Map<String, String> environment) {
    String cache = environment.getOrDefault("XDG_CACHE_HOME", "");
    return cache.isBlank() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(cache);
  }
}
