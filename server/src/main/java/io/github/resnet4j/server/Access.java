package io.github.resnet4j.server;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Access control: which requests the server accepts.
 *
 * @param token the bearer token that clients must send; empty if none is required
 * @param hosts names that the {@code Host} header may contain in addition to those of the loopback
 *     interface; {@code *} allows any name
 * @param origins origins ({@code https://example.org}) whose web pages may call this server; {@code
 *     *} for any
 */
public record Access(Optional<String> token, List<String> hosts, List<String> origins) {
  /** No token, no additional hosts, no other origins. */
  public static final Access DEFAULT = new Access(Optional.empty(), List.of(), List.of());

  private static final String ANY = "*";
  private static final int MIN_TOKEN_LENGTH = 16;
  private static final Pattern HOST = Pattern.compile("\\*|\\[[0-9a-f:.]+]|[a-z0-9_.-]+");
  private static final Pattern ORIGIN =
      Pattern.compile("\\*|[a-z][a-z0-9+.-]*://(\\[[0-9a-f:.]+]|[a-z0-9_.-]+)(:[0-9]{1,5})?");
  private static final Pattern LOOPBACK =
      Pattern.compile("([^.]+\\.)*localhost|127(\\.[0-9]{1,3}){3}|\\[::1]");

  /**
   * @throws IllegalArgumentException if the token is too short, or a host or an origin is malformed
   */
  public Access {
    if (token.isPresent() && token.get().length() < MIN_TOKEN_LENGTH) {
      throw new IllegalArgumentException(
          "the token (--token-file) must be at least %d characters long, has %d"
              .formatted(MIN_TOKEN_LENGTH, token.get().length()));
    }
    hosts = normalized(hosts, HOST, "allowed-hosts", "names without port, like models.example.org");
    origins = normalized(origins, ORIGIN, "allowed-origins", "origins like https://example.org");
  }

  private static List<String> normalized(
      List<String> entries, Pattern pattern, String setting, String expected) {
    return entries.stream()
        .map(entry -> entry.strip().toLowerCase(Locale.ROOT))
        .peek(entry -> {
          if (!pattern.matcher(entry).matches()) {
            throw new IllegalArgumentException(
                "%s must be %s or '*', was '%s'".formatted(setting, expected, entry));
          }
        })
        .toList();
  }

  /** Returns a copy with this token. */
  public Access withToken(String token) {
    return new Access(Optional.of(token), hosts, origins);
  }

  /**
   * Whether a request is authorized. The comparison takes constant time, so response times reveal
   * nothing about the token.
   *
   * @param authorization the value of the {@code Authorization} header, or an empty string
   */
  boolean isAuthorized(String authorization) {
    if (token.isEmpty()) {
      return true;
    }
    String[] words = authorization.strip().split(" +", 2); // the scheme is case-insensitive
    return words.length == 2
        && words[0].equalsIgnoreCase("Bearer")
        && MessageDigest.isEqual(
            token.get().getBytes(StandardCharsets.UTF_8),
            words[1].getBytes(StandardCharsets.UTF_8));
  }

  /**
   * Whether a {@code Host} header names this server. A web page can make its own name resolve to
   * this machine (DNS rebinding); its requests then contain that name.
   *
   * @param host empty if there is none, as in HTTP/1.0, which browsers do not use
   * @param listenAddress the configured listen address
   * @param loopback whether the server listens on the loopback interface; on other interfaces its
   *     names are unknown, and are checked only if allowed hosts are configured
   */
  boolean isAllowedHost(String host, String listenAddress, boolean loopback) {
    if (host.isEmpty() || hosts.contains(ANY) || (hosts.isEmpty() && !loopback)) {
      return true;
    }
    String name =
        host.toLowerCase(Locale.ROOT).replaceFirst(":[0-9]*$", "").replaceFirst("\\.$", "");
    return LOOPBACK.matcher(name).matches()
        || name.equalsIgnoreCase(listenAddress)
        || hosts.contains(name);
  }

  /** Whether web pages of this origin may call the server. */
  boolean allowsOrigin(String origin) {
    return origins.contains(ANY) || origins.contains(origin.toLowerCase(Locale.ROOT));
  }

  /**
   * Whether a request comes from a web page of another origin that is not allowed. Clients other
   * than browsers send neither header; for them only the token counts.
   *
   * @param origin the header {@code Origin}
   * @param site the header {@code Sec-Fetch-Site}
   * @param host the header {@code Host}
   */
  boolean isCrossOrigin(Optional<String> origin, Optional<String> site, String host) {
    if (origin.isPresent() && allowsOrigin(origin.get())) {
      return false;
    }
    if (site.isPresent()) { // set by the browser; pages cannot forge it
      return !site.get().equals("same-origin") && !site.get().equals("none");
    }
    return origin.isPresent()
        && !origin.get().replaceFirst("^[A-Za-z]+://", "").equalsIgnoreCase(host);
  }
}
