package io.github.resnet4j.server;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Who may ask.
 *
 * @param token what clients must send as {@code Authorization: Bearer}, if anything
 * @param hosts names that the {@code Host} header may have beside those of this machine's loopback;
 *     {@code *} for any
 * @param origins origins ({@code https://example.org}) whose web pages may call this server; {@code
 *     *} for any
 */
public record Access(Optional<String> token, List<String> hosts, List<String> origins) {
  /** No token, no further hosts, no other origins. */
  public static final Access USUAL = new Access(Optional.empty(), List.of(), List.of());

  private static final String ANY = "*";
  private static final int SHORTEST_TOKEN = 16;
  private static final Pattern HOST = Pattern.compile("\\*|\\[[0-9a-f:.]+]|[a-z0-9_.-]+");
  private static final Pattern ORIGIN =
      Pattern.compile("\\*|[a-z][a-z0-9+.-]*://(\\[[0-9a-f:.]+]|[a-z0-9_.-]+)(:[0-9]{1,5})?");
  private static final Pattern LOOPBACK =
      Pattern.compile("([^.]+\\.)*localhost|127(\\.[0-9]{1,3}){3}|\\[::1]");

  /**
   * @throws IllegalArgumentException if the token is short, or a host or origin is not one
   */
  public Access {
    if (token.isPresent() && token.get().length() < SHORTEST_TOKEN) {
      throw new IllegalArgumentException(
          "the token (--token-file) must be at least %d characters long, has %d"
              .formatted(SHORTEST_TOKEN, token.get().length()));
    }
    hosts = checked(hosts, HOST, "allowed-hosts", "names without port, like models.example.org");
    origins = checked(origins, ORIGIN, "allowed-origins", "origins like https://example.org");
  }

  private static List<String> checked(
      List<String> entries, Pattern pattern, String setting, String legal) {
    return entries.stream()
        .map(entry -> entry.strip().toLowerCase(Locale.ROOT))
        .peek(entry -> {
          if (!pattern.matcher(entry).matches()) {
            throw new IllegalArgumentException(
                "%s must be %s or '*', was '%s'".formatted(setting, legal, entry));
          }
        })
        .toList();
  }

  /** The same with this token. */
  public Access withToken(String token) {
    return new Access(Optional.of(token), hosts, origins);
  }

  /**
   * Whether a client may ask. In constant time: how much of a guess is right cannot be measured.
   *
   * @param authorization the header of that name, or nothing
   */
  boolean admits(String authorization) {
    if (token.isEmpty()) {
      return true;
    }
    String[] words = authorization.strip().split(" +", 2); // the scheme's case does not matter
    return words.length == 2
        && words[0].equalsIgnoreCase("Bearer")
        && MessageDigest.isEqual(
            token.get().getBytes(StandardCharsets.UTF_8),
            words[1].getBytes(StandardCharsets.UTF_8));
  }

  /**
   * Whether a {@code Host} header names this server. A web page can make a name of its own resolve
   * to this machine (DNS rebinding); then its requests carry that name.
   *
   * @param host empty if there is none, as in HTTP/1.0: no browser sends that
   * @param listensAt the address that the server was told to listen at
   * @param loopback whether only this machine reaches it; otherwise its names are not known, and
   *     checked only if they are set
   */
  boolean isOurHost(String host, String listensAt, boolean loopback) {
    if (host.isEmpty() || hosts.contains(ANY) || (hosts.isEmpty() && !loopback)) {
      return true;
    }
    String name =
        host.toLowerCase(Locale.ROOT).replaceFirst(":[0-9]*$", "").replaceFirst("\\.$", "");
    return LOOPBACK.matcher(name).matches()
        || name.equalsIgnoreCase(listensAt)
        || hosts.contains(name);
  }

  /** Whether the settings let web pages of this origin call the server. */
  boolean allowsOrigin(String origin) {
    return origins.contains(ANY) || origins.contains(origin.toLowerCase(Locale.ROOT));
  }

  /**
   * Whether a request comes from a web page of another origin that is not allowed. What is no
   * browser sends neither header, and is judged by its token only.
   *
   * @param origin the header {@code Origin}
   * @param site the header {@code Sec-Fetch-Site}
   * @param host the header {@code Host}
   */
  boolean isForeign(Optional<String> origin, Optional<String> site, String host) {
    if (origin.isPresent() && allowsOrigin(origin.get())) {
      return false;
    }
    if (site.isPresent()) { // a page cannot set it, and a proxy need not know about it
      return !site.get().equals("same-origin") && !site.get().equals("none");
    }
    return origin.isPresent()
        && !origin.get().replaceFirst("^[A-Za-z]+://", "").equalsIgnoreCase(host);
  }
}
