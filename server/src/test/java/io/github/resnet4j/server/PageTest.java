package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.deque.html.axecore.results.Results;
import com.deque.html.axecore.selenium.AxeBuilder;
import io.github.resnet4j.figures.EvaluationReport;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.SingleLabelEvaluation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.openqa.selenium.By;
import org.openqa.selenium.Dimension;
import org.openqa.selenium.Keys;
import org.openqa.selenium.WebElement;
import org.openqa.selenium.chrome.ChromeDriver;
import org.openqa.selenium.chrome.ChromeDriverService;
import org.openqa.selenium.chrome.ChromeOptions;
import org.openqa.selenium.logging.LogType;
import org.openqa.selenium.support.ui.WebDriverWait;

/** The page in a browser; skipped if Chromium and its driver are not installed. */
class PageTest {
  @TempDir private Path folder;
  private Client client;
  private ChromeDriver browser;

  private static Optional<Path> program(String... names) {
    return Stream.of(System.getenv("PATH").split(":"))
        .flatMap(place -> Stream.of(names).map(name -> Path.of(place, name)))
        .filter(Files::isExecutable)
        .findFirst();
  }

  @BeforeEach
  void start() throws IOException {
    Optional<Path> driver = program("chromedriver");
    Optional<Path> chromium = program("chromium", "chromium-browser", "google-chrome");
    assumeTrue(
        driver.isPresent() && chromium.isPresent(), "Chromium and its driver are not installed");
    client = new Client(Client.options(folder));
    var options = new ChromeOptions();
    options.setBinary(chromium.get().toFile());
    options.addArguments(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        "--user-data-dir=" + folder.resolve("profile"));
    browser =
        new ChromeDriver(
            new ChromeDriverService.Builder()
                .usingDriverExecutable(driver.get().toFile())
                .usingAnyFreePort()
                .build(),
            options);
    browser.get(client.server.address() + "/");
  }

  @AfterEach
  void stop() throws IOException {
    if (browser != null) {
      browser.quit();
    }
    if (client != null) {
      client.close();
    }
  }

  private void choose(int... digits) {
    String files =
        IntStream.of(digits)
            .mapToObj(digit ->
                Client.SAMPLES
                    .resolve("digit-%d.png".formatted(digit))
                    .toAbsolutePath()
                    .normalize())
            .map(Path::toString)
            .collect(Collectors.joining("\n"));
    browser.findElement(By.id("files")).sendKeys(files);
  }

  private WebElement visible(String selector) {
    return new WebDriverWait(browser, Duration.ofSeconds(20))
        .until(driver ->
            driver.findElements(By.cssSelector(selector)).stream()
                .filter(WebElement::isDisplayed)
                .findFirst()
                .orElse(null));
  }

  private void waitForStatus(String text) {
    new WebDriverWait(browser, Duration.ofSeconds(20))
        .until(driver -> driver.findElement(By.id("status")).getText().contains(text));
  }

  private void assertAccessible() {
    assertAccessibleExcept("no message at all");
  }

  /**
   * @param expected a text that every console message of the browser must contain
   */
  private void assertAccessibleExcept(String expected) {
    Results found = new AxeBuilder().analyze(browser);
    assertTrue(
        found.getViolations().isEmpty(),
        () ->
            found.getViolations().stream()
                .map(rule -> rule.getId() + ": " + rule.getNodes())
                .collect(Collectors.joining("\n")));
    var messages = browser.manage().logs().get(LogType.BROWSER).getAll();
    assertTrue(
        messages.stream().allMatch(entry -> entry.getMessage().contains(expected)),
        messages::toString);
  }

  /** The page that 'evaluate --report' writes, on a phone: sorted by a click, in both schemes. */
  @Test
  void reportOfAnEvaluationIsAccessibleAndSortable() throws IOException {
    var images = new ArrayList<Example>();
    var outcomes = new ArrayList<SingleLabelEvaluation.Outcome>();
    for (int i = 0; i < 4; i++) {
      images.add(
          new Example(
              "folder/image-%d.png".formatted(i), 0, () -> new Pixels(2, 2, 3, new byte[12])));
      float p = 0.1f + 0.1f * i;
      outcomes.add(new SingleLabelEvaluation.Outcome(i, 0, 1, 1 - p, p, new float[] {p, 1 - p}));
    }
    var evaluation =
        new SingleLabelEvaluation(
            List.of("cat", "dog"),
            new long[][] {{0, 4}, {0, 0}},
            new long[] {4, 0},
            images,
            outcomes);
    Path page = folder.resolve("report.html");
    EvaluationReport.write(page, "best.safetensors on photos", List.of(), evaluation);
    browser.manage().window().setSize(new Dimension(390, 844));
    for (String scheme : List.of("light", "dark")) {
      scheme(scheme);
      browser.get(page.toUri().toString());
      assertAccessible();
    }
    assertEquals(
        browser.executeScript("return document.documentElement.clientWidth"),
        browser.executeScript("return document.documentElement.scrollWidth"));
    String first = "div[aria-label='Worst errors'] tbody tr:first-child";
    assertTrue(browser.findElement(By.cssSelector(first)).getText().contains("image-0"));
    WebElement loss =
        browser.findElements(By.cssSelector("div[aria-label='Worst errors'] th button")).stream()
            .filter(button -> button.getText().equals("loss"))
            .findFirst()
            .orElseThrow();
    loss.sendKeys(Keys.ENTER, Keys.ENTER); // descending, ascending
    assertTrue(browser.findElement(By.cssSelector(first)).getText().contains("image-3"));
    assertAccessible();
  }

  private void scheme(String scheme) {
    browser.executeCdpCommand(
        "Emulation.setEmulatedMedia",
        Map.of(
            "features",
            java.util.List.of(Map.of("name", "prefers-color-scheme", "value", scheme))));
  }

  /** Desktop and phone sizes, light and dark. */
  @ParameterizedTest
  @CsvSource({"light, 1100, 900", "dark, 390, 844"})
  void imageIsClassifiedAndExplained(String scheme, int width, int height) {
    browser.manage().window().setSize(new Dimension(width, height));
    scheme(scheme);
    new WebDriverWait(browser, Duration.ofSeconds(20)).until(_ -> !aboutModel().isEmpty());
    assertEquals(
        "The model “digits” recognizes 10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8 and 9.", aboutModel());
    assertAccessible();
    choose(6);
    waitForStatus("6, ");
    assertEquals(5, browser.findElements(By.cssSelector("#bars li")).size());
    assertTrue(visible("#latency").getText().contains("ms in the server"));
    assertAccessible();
    visible("#explain").click();
    waitForStatus("evidence for 6");
    WebElement heat = visible("#heat-map");
    WebElement slider = visible("#opacity");
    String before = heat.getCssValue("opacity");
    slider.sendKeys(Keys.ARROW_LEFT, Keys.ARROW_LEFT);
    assertTrue(Double.parseDouble(heat.getCssValue("opacity")) < Double.parseDouble(before));
    assertAccessible();
    long scroll = (long) browser.executeScript("return document.documentElement.scrollWidth");
    long window = (long) browser.executeScript("return window.innerWidth");
    assertTrue(scroll <= window, () -> scroll + " > " + window);
  }

  @Test
  void severalImagesAreShownAsAGrid() {
    choose(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    waitForStatus("10 images in ");
    assertEquals(10, browser.findElements(By.cssSelector("#grid li")).size());
    assertEquals("digit-3.png", visible("#grid li:nth-child(4) .file").getText());
    assertAccessible();
    // The grid works with the keyboard alone.
    WebElement first = visible("#grid button");
    first.sendKeys(Keys.ENTER);
    waitForStatus("0, ");
    assertTrue(visible("#single").isDisplayed());
  }

  @Test
  void cameraTakesAPhoto() {
    visible("#camera").click();
    visible("#video");
    new WebDriverWait(browser, Duration.ofSeconds(20))
        .until(_ ->
            (long) browser.executeScript("return document.getElementById('video').videoWidth") > 0);
    assertAccessible();
    visible("#take-photo").click();
    visible("#bars li");
    visible("#stop").click();
  }

  @Test
  void modelSelectionIsHiddenForOneModel() {
    assertTrue(visible("#about").getText().contains("recognizes 10 classes"));
    assertFalse(browser.findElement(By.id("model-choice")).isDisplayed());
  }

  @Test
  void unreadableFileShowsItsNameAndReason() throws IOException {
    Path text = folder.resolve("cat.png");
    Files.writeString(text, "a cat");
    browser.findElement(By.id("files")).sendKeys(text.toString());
    assertTrue(visible("#failed").getText().contains("is not an image in a known format"));
    assertAccessibleExcept("400");
    browser
        .findElement(By.id("files"))
        .sendKeys(text + "\n" + Client.SAMPLES.resolve("digit-1.png").toRealPath());
    waitForStatus("2 images in ");
    String first = visible("#grid li:nth-child(1)").getText();
    assertTrue(first.contains("is not an image") && first.contains("cat.png"), first);
    new WebDriverWait(browser, Duration.ofSeconds(20)) // no broken image is shown
        .until(_ -> browser.findElements(By.cssSelector("#grid img")).size() == 1);
    assertTrue(visible("#grid li:nth-child(2)").getText().startsWith("1, "));
  }

  @Test
  void tokenIsRequestedAndKeptForTheSession() throws IOException {
    var options = Client.options(folder);
    try (var guarded = new Client(Client.withToken(options, "0123456789abcdef"))) {
      browser.get(guarded.server.address() + "/");
      visible("#token").sendKeys("a wrong token", Keys.ENTER);
      waitForStatus("does not accept this token");
      visible("#token").clear();
      visible("#token").sendKeys("0123456789abcdef", Keys.ENTER);
      new WebDriverWait(browser, Duration.ofSeconds(20)).until(_ -> !aboutModel().isEmpty());
      choose(6);
      waitForStatus("6, ");
      browser.navigate().refresh();
      choose(4);
      waitForStatus("4, ");
    }
  }

  private String aboutModel() {
    return browser.findElement(By.id("about")).getText();
  }
}
