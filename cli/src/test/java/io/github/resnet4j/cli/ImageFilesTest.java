package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Image files found through symbolic links. */
@EnabledOnOs({OS.LINUX, OS.MAC})
class ImageFilesTest {
  @TempDir private Path home;

  @BeforeEach
  void makeFolders() throws IOException {
    for (String name :
        List.of("photos/1.png", "photos/inner/2.JPG", "photos/notes.txt", "more/3.png")) {
      Path file = home.resolve(name);
      Files.createDirectories(file.getParent());
      Files.createFile(file);
    }
  }

  private void link(String name, String target) throws IOException {
    Files.createSymbolicLink(home.resolve(name), home.resolve(target));
  }

  private List<String> find(String argument) throws IOException {
    return ImageFiles.find(List.of(home.resolve(argument).toString())).stream()
        .map(file -> home.relativize(file).toString())
        .toList();
  }

  @Test
  void followsLinks() throws IOException {
    link("linked", "photos");
    link("photos/more", "more");
    link("photos/4.png", "more/3.png");
    link("photos/missing.png", "nowhere");
    assertEquals(
        List.of(
            "linked/1.png",
            "linked/4.png",
            "linked/inner/2.JPG",
            "linked/missing.png",
            "linked/more/3.png"),
        find("linked"));
    assertEquals(
        List.of("linked/1.png", "linked/4.png", "linked/missing.png"), find("linked/*.png"));
    assertEquals(List.of("photos/more/3.png"), find("photos/*/*.png"));
    assertEquals(List.of("linked/more/3.png"), find("linked/**/3.png"));
  }

  @Test
  void linkCyclesTerminate() throws IOException {
    link("photos/inner/up", "photos");
    link("photos/self", "photos/self");
    link("photos/twice", "photos/inner");
    assertEquals(2, find("photos").size());
    assertEquals(List.of("photos/inner/2.JPG", "photos/twice/2.JPG"), find("photos/*/*.JPG"));
    assertEquals(1, find("photos/**/*.JPG").size());
  }

  /** Each level reaches the next one twice: 2^20 paths. */
  @Test
  void repeatedLinksAreFollowedOnce() throws IOException {
    for (int i = 0; i < 20; i++) {
      Files.createDirectories(home.resolve("levels/" + i));
      link("levels/" + i + "/a", "levels/" + (i + 1));
      link("levels/" + i + "/b", "levels/" + (i + 1));
    }
    Files.createDirectories(home.resolve("levels/20"));
    Files.createFile(home.resolve("levels/20/deep.png"));
    assertEquals(1, find("levels").size());
    assertEquals(1, find("levels/0/**.png").size());
  }
}
