package io.github.resnet4j.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.net.Authenticator;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;

/**
 * HTTP clients with the settings of the environment, as Python's {@code requests} and curl have
 * them.
 *
 * <ul>
 *   <li>{@code HTTPS_PROXY}, {@code HTTP_PROXY} and {@code NO_PROXY}, also in lower case: the
 *       proxy, {@code http://user:password@host:port}; else Java's settings.
 *   <li>{@code REQUESTS_CA_BUNDLE}, {@code CURL_CA_BUNDLE}, {@code SSL_CERT_FILE}: a file of
 *       certificates in PEM format that replaces Java's authorities. The first that is set is used.
 * </ul>
 */
public final class HttpAccess {
  private static final List<String> BUNDLES =
      List.of("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE");

  /** Java does not send passwords of proxies for HTTPS unless this property is empty. */
  private static final String DISABLED_SCHEMES = "jdk.http.auth.tunneling.disabledSchemes";

  /** How often {@link #send} sends a request. */
  public static final int ATTEMPTS = 3;

  private HttpAccess() {}

  /**
   * A builder of a client that does not follow redirects.
   *
   * @param environment usually {@link System#getenv()}
   * @throws IOException if the file of certificates cannot be read; the message names the variable
   */
  public static HttpClient.Builder client(Map<String, String> environment) throws IOException {
    var proxy = new EnvironmentProxy(environment, ProxySelector.getDefault());
    permitProxyPasswords(environment);
    var builder = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NEVER).proxy(proxy);
    if (proxy.hasCredentials()) {
      builder.authenticator(proxy.authenticator());
    }
    for (String name : BUNDLES) {
      String file = environment.getOrDefault(name, "");
      if (!file.isBlank()) {
        return builder.sslContext(trusting(name, Path.of(file)));
      }
    }
    return builder;
  }

  /**
   * Sends a request, up to {@value #ATTEMPTS} times if the connection or the server fails. The
   * body's publisher must be able to publish it again.
   *
   * @param peer what a message about a failed connection names
   * @return a response whose status may be any other than 429 and 500 to 599
   * @throws IOException if all attempts failed; the message has the reason of the last one
   */
  public static HttpResponse<String> send(HttpClient client, HttpRequest request, String peer)
      throws IOException, InterruptedException {
    IOException last = new IOException("no answer");
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      Thread.sleep(attempt == 0 ? 0 : 250L << attempt);
      try {
        HttpResponse<String> response = client.send(request, BodyHandlers.ofString());
        if (response.statusCode() < 500 && response.statusCode() != 429) {
          return response;
        }
        last = new IOException("%s: status %d".formatted(request.uri(), response.statusCode()));
      } catch (IOException e) {
        String reason = e.getMessage() == null ? "no connection" : e.getMessage();
        last = new IOException("%s: %s".formatted(peer, reason), e);
      }
    }
    throw last;
  }

  /**
   * Lets Java send passwords to proxies for HTTPS, if one has a password. Java reads this property
   * once, before its first request or client is made.
   */
  static void permitProxyPasswords(Map<String, String> environment) {
    try {
      if (new EnvironmentProxy(environment, null).hasCredentials()
          && System.getProperty(DISABLED_SCHEMES) == null) {
        System.setProperty(DISABLED_SCHEMES, "");
      }
    } catch (IllegalArgumentException _) {
      // The first request reports an invalid address.
    }
  }

  private static SSLContext trusting(String variable, Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      Collection<? extends Certificate> certificates =
          CertificateFactory.getInstance("X.509").generateCertificates(in);
      if (certificates.isEmpty()) {
        throw new IOException("it contains no certificates");
      }
      var store = KeyStore.getInstance(KeyStore.getDefaultType());
      store.load(null, null);
      int number = 0;
      for (Certificate certificate : certificates) {
        store.setCertificateEntry("authority-" + number++, certificate);
      }
      var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      factory.init(store);
      var context = SSLContext.getInstance("TLS");
      context.init(null, factory.getTrustManagers(), null);
      return context;
    } catch (IOException | GeneralSecurityException e) {
      throw new IOException(
          "%s: cannot use the certificates of %s: %s".formatted(variable, file, e.getMessage()), e);
    }
  }

  /** The proxy from environment variables. */
  private static final class EnvironmentProxy extends ProxySelector {
    private final Map<String, String> environment;
    private final @Nullable ProxySelector fallback;

    EnvironmentProxy(Map<String, String> environment, @Nullable ProxySelector fallback) {
      this.environment = environment;
      this.fallback = fallback;
    }

    @Override
    public List<Proxy> select(URI uri) {
      Optional<URI> proxy = proxy(String.valueOf(uri.getScheme()));
      if (proxy.isEmpty()) {
        return fallback == null ? List.of(Proxy.NO_PROXY) : fallback.select(uri);
      }
      if (isExempt(String.valueOf(uri.getHost()))) {
        return List.of(Proxy.NO_PROXY);
      }
      return List.of(new Proxy(Proxy.Type.HTTP, address(proxy.get())));
    }

    private static InetSocketAddress address(URI proxy) {
      return new InetSocketAddress(proxy.getHost(), proxy.getPort() < 0 ? 80 : proxy.getPort());
    }

    private Optional<URI> proxy(String scheme) {
      String value = variable(scheme.toUpperCase(Locale.ROOT) + "_PROXY");
      if (value.isBlank()) {
        return Optional.empty();
      }
      URI address = URI.create(value.contains("://") ? value : "http://" + value);
      if (address.getHost() == null) {
        throw new IllegalArgumentException(
            "%s_PROXY must be http://host:port".formatted(scheme.toUpperCase(Locale.ROOT)));
      }
      return Optional.of(address);
    }

    private List<URI> proxies() {
      return List.of("https", "http").stream().flatMap(each -> proxy(each).stream()).toList();
    }

    boolean hasCredentials() {
      return proxies().stream().anyMatch(proxy -> proxy.getRawUserInfo() != null);
    }

    /** Answers the proxies that have credentials in their address, and no server. */
    Authenticator authenticator() {
      return new Authenticator() {
        @Override
        protected @Nullable PasswordAuthentication getPasswordAuthentication() {
          if (getRequestorType() != RequestorType.PROXY) {
            return null;
          }
          for (URI proxy : proxies()) {
            InetSocketAddress address = address(proxy);
            if (proxy.getRawUserInfo() != null
                && address.getHostString().equalsIgnoreCase(getRequestingHost())
                && address.getPort() == getRequestingPort()) {
              String[] words = proxy.getRawUserInfo().split(":", 2);
              return new PasswordAuthentication(
                  decoded(words[0]), decoded(words.length > 1 ? words[1] : "").toCharArray());
            }
          }
          return null;
        }
      };
    }

    private static String decoded(String text) {
      return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    private boolean isExempt(String host) {
      for (String pattern : variable("NO_PROXY").split(",")) {
        String suffix = pattern.strip();
        if (suffix.equals("*")
            || suffix.equals(host)
            || (!suffix.isEmpty()
                && host.endsWith(suffix.startsWith(".") ? suffix : "." + suffix))) {
          return true;
        }
      }
      return false;
    }

    private String variable(String name) {
      String value = environment.get(name);
      if (value == null) {
        value = environment.get(name.toLowerCase(Locale.ROOT));
      }
      return value == null ? "" : value;
    }

    @Override
    public void connectFailed(URI uri, SocketAddress address, IOException e) {
      // The caller receives the failure as an exception.
    }
  }
}
