import java.security.Provider;
import java.security.SecureRandomSpi;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Random numbers for tests under Wine, whose list of network adapters, from which Java's own
 * generator takes part of its seed, ends the JVM.
 */
public final class WineRandom extends Provider {
  private static final long serialVersionUID = 1;

  /** Registers the generator. */
  public WineRandom() {
    super("WineRandom", "1", "not secure");
    put("SecureRandom.WineRandom", Generator.class.getName());
  }

  /** A generator that is not secure. */
  public static final class Generator extends SecureRandomSpi {
    private static final long serialVersionUID = 1;

    @Override
    protected void engineSetSeed(byte[] seed) {}

    @Override
    protected void engineNextBytes(byte[] bytes) {
      ThreadLocalRandom.current().nextBytes(bytes);
    }

    @Override
    protected byte[] engineGenerateSeed(int bytes) {
      byte[] seed = new byte[bytes];
      engineNextBytes(seed);
      return seed;
    }
  }
}
