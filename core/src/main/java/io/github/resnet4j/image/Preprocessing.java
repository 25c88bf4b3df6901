package io.github.resnet4j.image;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;

/**
 * How images become the network's input: the shorter side is resized to {@code resize}, the center
 * is cropped, values are scaled to [0, 1] and normalized. The preprocessing belongs to the weights,
 * not to the network; a wrong one reduces the accuracy without an error.
 *
 * <p>Bit-identical to {@code weights.transforms()} of torchvision for the same decoded pixels.
 *
 * @param resize the size in pixels of the shorter side before the crop; at least the crop's larger
 *     side
 * @param cropHeight the height of the input
 * @param cropWidth the width of the input
 * @param mean subtracted from each channel; three values for RGB, one for gray
 * @param std the divisor of each channel, with as many values
 */
public record Preprocessing(
    int resize,
    int cropHeight,
    int cropWidth,
    Interpolation interpolation,
    List<Float> mean,
    List<Float> std) {

  private static final int MAX_EXTENT = 1 << 14;

  /**
   * ImageNet's mean and standard deviation per channel of RGB, which most published weights use.
   */
  public static final List<Float> IMAGENET_MEAN = List.of(0.485f, 0.456f, 0.406f);

  public static final List<Float> IMAGENET_STD = List.of(0.229f, 0.224f, 0.225f);

  /**
   * @throws IllegalArgumentException naming the field and its valid values
   */
  public Preprocessing {
    mean = List.copyOf(mean);
    std = List.copyOf(std);
    check(cropHeight >= 1 && cropHeight <= MAX_EXTENT, "crop height", cropHeight, "1 to 16384");
    check(cropWidth >= 1 && cropWidth <= MAX_EXTENT, "crop width", cropWidth, "1 to 16384");
    check(
        resize >= Math.max(cropHeight, cropWidth) && resize <= MAX_EXTENT,
        "resize",
        resize,
        "at least the crop's larger side and at most 16384");
    check(
        (mean.size() == 3 || mean.size() == 1) && mean.stream().allMatch(Float::isFinite),
        "mean",
        mean,
        "three values, or one for gray");
    check(
        std.size() == mean.size() && std.stream().allMatch(s -> s > 0 && Float.isFinite(s)),
        "std",
        std,
        "as many positive values as mean");
  }

  private static void check(boolean legal, String field, Object value, String legalValues) {
    if (!legal) {
      throw new IllegalArgumentException(
          "%s must be %s, was %s".formatted(field, legalValues, value));
    }
  }

  /** ImageNet's standard preprocessing: bilinear, with ImageNet's mean and standard deviation. */
  public static Preprocessing imagenet(int resize, int crop) {
    return new Preprocessing(
        resize, crop, crop, Interpolation.BILINEAR, IMAGENET_MEAN, IMAGENET_STD);
  }

  /** The number of input channels: 3 for RGB, 1 for gray. */
  public int channels() {
    return mean.size();
  }

  /** Converts one image to the network's input, {@code [1, channels, cropHeight, cropWidth]}. */
  public Tensor apply(Pixels image) {
    Tensor input = batch(1);
    apply(image, input, 0);
    return input;
  }

  /** A tensor for a batch of images, {@code [size, channels, cropHeight, cropWidth]}. */
  public Tensor batch(int size) {
    return Tensor.zeros(size, channels(), cropHeight, cropWidth);
  }

  /**
   * Converts one image and writes it into a batch.
   *
   * @param batch {@code [N, channels, cropHeight, cropWidth]}
   * @param index the index of the image in the batch
   */
  public void apply(Pixels image, Tensor batch, int index) {
    normalize(crop(channels() == 1 ? image.toGray() : image), batch, index);
  }

  /**
   * Normalizes pixels that already have the input size and writes them into a batch.
   *
   * @param crop {@code cropWidth × cropHeight} pixels, from {@link #crop} or {@link Augmentation}
   * @param batch {@code [N, channels, cropHeight, cropWidth]}
   * @param index the index of the image in the batch
   * @throws IllegalArgumentException if the size or the number of channels is wrong
   */
  public void normalize(Pixels crop, Tensor batch, int index) {
    if (crop.width() != cropWidth || crop.height() != cropHeight || crop.channels() != channels()) {
      throw new IllegalArgumentException(
          "%d×%d pixels with %d channels; the input has %d×%d with %d"
              .formatted(
                  crop.width(), crop.height(), crop.channels(), cropWidth, cropHeight, channels()));
    }
    int plane = cropHeight * cropWidth;
    int channels = channels();
    float[] values = new float[256];
    for (int c = 0; c < channels; c++) {
      for (int v = 0; v < 256; v++) {
        values[v] = (v / 255f - mean.get(c)) / std.get(c);
      }
      int to = (index * channels + c) * plane;
      for (int i = 0; i < plane; i++) {
        batch.data()[to + i] = values[crop.data()[i * channels + c] & 0xff];
      }
    }
  }

  /** Returns the resized and cropped pixels, before normalization. */
  public Pixels crop(Pixels image) {
    return window(image, 0.5, 0.5);
  }

  /** Returns a corner of the resized image in the size of the crop, before normalization. */
  Pixels corner(Pixels image, boolean bottom, boolean right) {
    return window(image, bottom ? 1 : 0, right ? 1 : 0);
  }

  /**
   * A part of the resized image.
   *
   * @param down the position of the window: 0 at the top, 1 at the bottom
   * @param across 0 at the left, 1 at the right
   */
  private Pixels window(Pixels image, double down, double across) {
    int width = image.width();
    int height = image.height();
    int shorter = Math.min(width, height);
    // Rounds as torchvision: the longer side down, the crop's corner half to even.
    int longer = (int) ((double) ((long) resize * Math.max(width, height)) / shorter);
    int newWidth = width <= height ? resize : longer;
    int newHeight = width <= height ? longer : resize;
    int top = (int) Math.rint((newHeight - cropHeight) * down);
    int left = (int) Math.rint((newWidth - cropWidth) * across);
    return Resize.window(
        image, newWidth, newHeight, interpolation, left, top, cropWidth, cropHeight);
  }

  /**
   * Converts the views of one image and writes them into a batch, as many images apart as {@code
   * stride}.
   *
   * @param batch {@code [N, channels, cropHeight, cropWidth]}
   * @param index the index of the first view in the batch
   */
  public void apply(
      Pixels image, TestTimeAugmentation augmentation, Tensor batch, int index, int stride) {
    int at = index;
    for (Pixels view : augmentation.of(channels() == 1 ? image.toGray() : image, this)) {
      normalize(view, batch, at);
      at += stride;
    }
  }

  /**
   * Reads a preprocessing from JSON: our own fields, torchvision's ({@code resize_size}, {@code
   * crop_size}), timm's {@code config.json} ({@code input_size}, {@code crop_pct}) or Hugging
   * Face's {@code preprocessor_config.json} ({@code size}, {@code crop_pct}, {@code image_mean}).
   *
   * @throws IllegalArgumentException if a field is missing or invalid; the message names it
   */
  public static Preprocessing fromJson(Path file) throws IOException {
    if (!Files.isRegularFile(file)) { // opening a pipe would wait for its writer
      throw new IOException(
          file + (Files.exists(file) ? ": is not a regular file" : ": does not exist"));
    }
    if (Files.size(file) > 1 << 20) {
      throw new IOException(
          file + ": has more than 1 MB, which is too large for a preprocessing file");
    }
    String text;
    try {
      text = Files.readString(file);
    } catch (IOException e) {
      throw new IOException(Reason.of(file, e), e);
    }
    Object value;
    try {
      value = JSON.std.anyFrom(text);
    } catch (IOException e) {
      throw new IOException(
          file + ": is not JSON: " + String.valueOf(e.getMessage()).lines().findFirst().orElse(""));
    }
    if (!(value instanceof Map<?, ?> map)) {
      throw new IOException(file + ": is not a JSON object of names and values");
    }
    try {
      return fromFields(named(map));
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(file + ": " + e.getMessage(), e);
    }
  }

  /** The same as {@link #fromJson}, from parsed fields. */
  public static Preprocessing fromFields(Map<String, ?> given) {
    Map<String, ?> fields = given;
    for (String wrapper : List.of("pretrained_cfg", "preprocessing")) {
      if (fields.get(wrapper) instanceof Map<?, ?> inner) {
        fields = named(inner);
      }
    }
    if (fields.get("crop_mode") instanceof String mode && !mode.equals("center")) {
      throw new IllegalArgumentException("crop_mode must be center, was " + mode);
    }
    List<Float> mean = floats(fields, "mean", "image_mean", IMAGENET_MEAN);
    List<Float> std = floats(fields, "std", "image_std", IMAGENET_STD);
    Interpolation interpolation = interpolation(fields);
    int cropHeight;
    int cropWidth;
    if (fields.get("input_size") instanceof List<?> size && size.size() == 3) { // timm
      cropHeight = integer("input_size", size.get(1));
      cropWidth = integer("input_size", size.get(2));
    } else if (fields.get("crop_size") != null) {
      int[] crop = extents("crop_size", fields.get("crop_size"));
      cropHeight = crop[0];
      cropWidth = crop[1];
    } else if (fields.get("size") != null) { // Hugging Face
      int[] crop = extents("size", fields.get("size"));
      cropHeight = crop[0];
      cropWidth = crop[1];
    } else {
      throw new IllegalArgumentException(
          "none of crop_size, input_size and size gives the size of the input");
    }
    int resize;
    if (fields.get("resize_size") != null) {
      resize = extents("resize_size", fields.get("resize_size"))[0];
    } else if (fields.get("crop_pct") instanceof Number fraction) {
      check(
          fraction.doubleValue() > 0 && fraction.doubleValue() <= 1,
          "crop_pct",
          fraction,
          "above 0 and at most 1");
      resize = (int) Math.floor(Math.max(cropHeight, cropWidth) / fraction.doubleValue());
    } else if (fields.get("size") != null) {
      resize = extents("size", fields.get("size"))[0];
    } else {
      resize = Math.max(cropHeight, cropWidth);
    }
    return new Preprocessing(resize, cropHeight, cropWidth, interpolation, mean, std);
  }

  private static Map<String, Object> named(Map<?, ?> map) {
    var named = new LinkedHashMap<String, Object>();
    map.forEach((key, value) -> named.put(String.valueOf(key), value));
    return named;
  }

  private static List<Float> floats(
      Map<String, ?> fields, String name, String otherName, List<Float> byDefault) {
    Object value = fields.get(name) != null ? fields.get(name) : fields.get(otherName);
    if (value == null) {
      return byDefault;
    }
    if (value instanceof List<?> list && list.stream().allMatch(Number.class::isInstance)) {
      return list.stream().map(number -> ((Number) number).floatValue()).toList();
    }
    throw new IllegalArgumentException(name + " must be a list of numbers, was " + value);
  }

  private static Interpolation interpolation(Map<String, ?> fields) {
    if (fields.get("interpolation") instanceof String name) {
      return Interpolation.named(name);
    }
    return switch (fields.get("resample")) { // Hugging Face: Pillow's constants
      case null -> Interpolation.BILINEAR;
      case Integer number when number == 2 -> Interpolation.BILINEAR;
      case Integer number when number == 3 -> Interpolation.BICUBIC;
      case Object other ->
          throw new IllegalArgumentException("resample must be 2 or 3, was " + other);
    };
  }

  private static int integer(String name, @Nullable Object value) {
    if (value instanceof Number number && number.doubleValue() == number.intValue()) {
      return number.intValue();
    }
    throw new IllegalArgumentException(name + " must be integers, was " + value);
  }

  /** Height and width from {@code 224}, {@code [224]}, {@code [224, 224]} or a map. */
  private static int[] extents(String name, @Nullable Object value) {
    return switch (value) {
      case List<?> list when list.size() == 1 -> extents(name, list.getFirst());
      case List<?> list when list.size() == 2 ->
          new int[] {integer(name, list.get(0)), integer(name, list.get(1))};
      case Map<?, ?> map when map.get("shortest_edge") != null ->
          extents(name, map.get("shortest_edge"));
      case Map<?, ?> map when map.get("height") != null && map.get("width") != null ->
          new int[] {integer(name, map.get("height")), integer(name, map.get("width"))};
      case null, default -> new int[] {integer(name, value), integer(name, value)};
    };
  }

  /** The fields as {@link #fromFields} reads them, for storing them beside weights. */
  public SequencedMap<String, Object> toFields() {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("resize_size", resize);
    fields.put("crop_size", List.of(cropHeight, cropWidth));
    fields.put("interpolation", interpolation.toString());
    fields.put("mean", decimals(mean));
    fields.put("std", decimals(std));
    return fields;
  }

  /** Converts a float to 0.485 instead of 0.48500001430511475. */
  private static List<Double> decimals(List<Float> values) {
    return values.stream().map(value -> Double.valueOf(value.toString())).toList();
  }
}
