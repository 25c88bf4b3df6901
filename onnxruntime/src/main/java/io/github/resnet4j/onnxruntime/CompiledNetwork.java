package io.github.resnet4j.onnxruntime;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.onnx.OnnxExport;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * The runtime's sessions of a network, one for each image size: some operations of the graph depend
 * on it. They are opened at first use.
 */
final class CompiledNetwork {
  /** The largest number of open sessions; each holds the weights. */
  private static final int MAX_SIZES = 4;

  /** Work with a session. */
  interface Use<T> {
    T with(OrtSession session) throws OrtException;
  }

  private record Size(int height, int width) {}

  private final Sequential network;
  private final StateDict state;
  private final int inChannels;
  private final CompileOptions options;
  private final Device device;

  /** Runs hold the read lock; opening and closing a session take the write lock. */
  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();

  private final LinkedHashMap<Size, OrtSession> sessions = new LinkedHashMap<>();
  private int users = 1;

  CompiledNetwork(
      Sequential network, StateDict state, int inChannels, CompileOptions options, Device device) {
    this.network = network;
    this.state = state;
    this.inChannels = inChannels;
    this.options = options;
    this.device = device;
  }

  Sequential network() {
    return network;
  }

  StateDict state() {
    return state;
  }

  int inChannels() {
    return inChannels;
  }

  Device device() {
    return device;
  }

  /**
   * Runs with the session of an image size.
   *
   * @throws IllegalStateException if the network is closed, or the runtime reports an error
   */
  <T> T use(int height, int width, Use<T> use) {
    var size = new Size(height, width);
    while (true) {
      lock.readLock().lock();
      try {
        OrtSession session = sessions.get(size);
        if (session != null) {
          return use.with(session);
        }
      } catch (OrtException e) {
        throw failed(e);
      } finally {
        lock.readLock().unlock();
      }
      openIfAbsent(size);
    }
  }

  private void openIfAbsent(Size size) {
    lock.writeLock().lock();
    try {
      if (users == 0) {
        throw new IllegalStateException("the session is closed");
      }
      if (!sessions.containsKey(size)) {
        if (sessions.size() == MAX_SIZES) {
          sessions.pollFirstEntry().getValue().close();
        }
        sessions.put(size, open(size));
      }
    } catch (OrtException e) {
      throw failed(e);
    } finally {
      lock.writeLock().unlock();
    }
  }

  private IllegalStateException failed(OrtException e) {
    return new IllegalStateException(
        "ONNX Runtime, provider %s: %s".formatted(device.label(), e.getMessage()), e);
  }

  private OrtSession open(Size size) throws OrtException {
    var image = new Shape(inChannels, size.height, size.width);
    try (Arena arena = Arena.ofConfined();
        var settings = new OrtSession.SessionOptions()) {
      settings.setIntraOpNumThreads(options.threads());
      device.addTo(settings);
      // The runtime copies the weights into its own layouts; the exported bytes are freed here.
      return OrtEnvironment.getEnvironment()
          .createSession(
              OnnxExport.inMemory(network, state, image, options.taps(), arena), settings);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  void retain() {
    lock.writeLock().lock();
    try {
      users++;
    } finally {
      lock.writeLock().unlock();
    }
  }

  void release() {
    lock.writeLock().lock();
    try {
      users--;
      if (users == 0) {
        for (OrtSession session : sessions.values()) {
          session.close();
        }
        sessions.clear();
      }
    } catch (OrtException e) {
      throw failed(e);
    } finally {
      lock.writeLock().unlock();
    }
  }
}
