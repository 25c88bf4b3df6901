package io.github.resnet4j;

import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Kinds of networks other than ResNets, recognized by the names of their tensors in PyTorch,
 * torchvision, timm and transformers.
 *
 * @param sign a tensor name of this kind; earlier kinds in the list may have it too
 */
record OtherNetwork(String description, Pattern sign) {
  private OtherNetwork(String description, String sign) {
    this(description, Pattern.compile(sign));
  }

  private static final List<OtherNetwork> ALL =
      List.of(
          new OtherNetwork(
              "CLIP's ResNet, which is not of this family: average pooling in its stem and before"
                  + " the last convolution of a block, attention in place of the last pooling",
              "(.*\\.)?attnpool\\.positional_embedding"),
          new OtherNetwork(
              "an SE-ResNet of pretrained-models.pytorch, whose max pooling rounds up",
              "(.*\\.)?layer0\\.conv1\\.weight"),
          new OtherNetwork("CLIP", "(.*\\.)?(logit_scale|text_model\\..*)"),
          new OtherNetwork(
              "a language model such as BERT", "(.*\\.)?embeddings\\.word_embeddings\\.weight"),
          new OtherNetwork(
              "a language model such as GPT or Llama",
              "(.*\\.)?(wte|embed_tokens|tok_embeddings)\\.weight"),
          new OtherNetwork(
              "a vision transformer (ViT)",
              "(.*\\.)?(cls_token|class_token|pos_embed|pos_embedding)"),
          new OtherNetwork(
              "a Swin transformer", "(.*\\.)?relative_position_bias_table|(.*\\.)?swin\\..*"),
          new OtherNetwork("an MLP-Mixer", "(.*\\.)?mlp_tokens\\..*"),
          new OtherNetwork("an object detector", "(rpn|roi_heads)\\..*|backbone\\.fpn\\..*"),
          new OtherNetwork("a YOLO detector", "model\\.(model\\.)?0\\.conv\\.weight"),
          new OtherNetwork(
              "a segmentation network with a ResNet in it",
              "backbone\\.layer1\\.0\\.conv1\\.weight"),
          new OtherNetwork(
              "a U-Net or another decoder on a ResNet",
              "(.*\\.)?(segmentation_head\\.0|decoder\\.blocks\\.0\\.conv1\\.0)\\.weight"),
          new OtherNetwork(
              "ConvNeXt",
              "(.*\\.)?stages\\..*\\.(conv_dw|dwconv)\\.weight|.*\\.layer_scale(_parameter)?"),
          new OtherNetwork("DenseNet", "(.*\\.)?denseblock1\\..*"),
          new OtherNetwork("SqueezeNet", "(.*\\.)?features\\.\\d+\\.squeeze\\.weight"),
          new OtherNetwork("Inception", "(.*\\.)?(Mixed_5b|inception3a)\\..*"),
          new OtherNetwork("ShuffleNet", "stage2\\.0\\.branch2\\..*"),
          new OtherNetwork("RegNet", "s1\\.b1\\.conv1\\..*|trunk_output\\.block1\\..*"),
          new OtherNetwork("MNASNet", "layers\\.8\\.0\\.layers\\..*"),
          new OtherNetwork(
              "EfficientNet or MobileNet",
              "(.*\\.)?conv_stem\\.weight|(.*\\.)?_conv_stem\\.weight"
                  + "|features\\.1\\.(0\\.)?(block|conv)\\.0\\..*"),
          new OtherNetwork("VGG or AlexNet", "features\\.0\\.weight"),
          new OtherNetwork("Res2Net", "layer1\\.0\\.convs\\.0\\.weight"),
          new OtherNetwork("ResNeSt", "layer1\\.0\\.conv2\\.fc1\\.weight"),
          new OtherNetwork("SKNet", "layer1\\.0\\.conv\\d\\.paths\\..*"),
          new OtherNetwork("a U-Net", "(.*\\.)?(down_blocks\\.0|downs?\\.?0|down1|inc)\\..*"));

  /** The kind of network of a checkpoint's tensor names; empty if unknown. */
  static Optional<String> describe(Collection<String> names) {
    long networks = names.stream().filter(name -> name.endsWith(".layer1.0.conv1.weight")).count();
    if (networks > 1) {
      return Optional.of("%d networks in one file; save one of them".formatted(networks));
    }
    return ALL.stream()
        .filter(each -> names.stream().anyMatch(name -> each.sign.matcher(name).matches()))
        .map(OtherNetwork::description)
        .findFirst();
  }
}
