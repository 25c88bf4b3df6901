"""Writes the tensor names of networks outside the ResNet family, for the tests of Recognition."""

import gzip
import warnings
from pathlib import Path

import timm
import torch
import torchvision
import transformers

VIT = "a vision transformer (ViT)"
VGG = "VGG or AlexNet"
EFFICIENT = "EfficientNet or MobileNet"
SWIN = "a Swin transformer"

TORCHVISION = {
    "vit_b_16": VIT,
    "vgg11": VGG,
    "vgg11_bn": VGG,
    "alexnet": VGG,
    "convnext_tiny": "ConvNeXt",
    "efficientnet_b0": EFFICIENT,
    "efficientnet_v2_s": EFFICIENT,
    "mobilenet_v2": EFFICIENT,
    "mobilenet_v3_small": EFFICIENT,
    "densenet121": "DenseNet",
    "inception_v3": "Inception",
    "googlenet": "Inception",
    "swin_t": SWIN,
    "squeezenet1_0": "SqueezeNet",
    "shufflenet_v2_x1_0": "ShuffleNet",
    "mnasnet1_0": "MNASNet",
    "deeplabv3_resnet50": "a segmentation network with a ResNet in it",
    "fasterrcnn_resnet50_fpn": "an object detector",
}
TIMM = {
    "vit_base_patch16_224": VIT,
    "deit_tiny_patch16_224": VIT,
    "beit_base_patch16_224": VIT,
    "convnext_tiny": "ConvNeXt",
    "efficientnet_b0": EFFICIENT,
    "mobilenetv3_small_100": EFFICIENT,
    "densenet121": "DenseNet",
    "swin_tiny_patch4_window7_224": SWIN,
    "regnety_004": "RegNet",
    "mixer_b16_224": "an MLP-Mixer",
    "vgg16": VGG,
    "inception_v3": "Inception",
    "res2net50_26w_4s": "Res2Net",
    "skresnet18": "SKNet",
    "resnest14d": "ResNeSt",
}
TRANSFORMERS = {
    ("Bert", "num_hidden_layers"): "a language model such as BERT",
    ("ViT", "num_hidden_layers"): VIT,
    ("GPT2", "n_layer"): "a language model such as GPT or Llama",
    ("ConvNext", "num_stages"): "ConvNeXt",
}


def torchvision_model(name):
    return torchvision.models.get_model(name, weights=None, **(
        {"init_weights": False} if name in ("inception_v3", "googlenet") else
        {"weights_backbone": None} if name.endswith(("resnet50", "fpn")) else {}))


def transformers_model(name, depth):
    config = getattr(transformers, name + "Config")
    layers = {} if depth == "num_stages" else {depth: 1}
    return getattr(transformers, name + "Model")(config(**layers))


def main():
    warnings.filterwarnings("ignore")
    lines = []

    def add(name, kind, model):
        lines.append("\t".join([name, kind, *model.state_dict()]))

    with torch.device("meta"):
        for name, kind in TORCHVISION.items():
            add("torchvision " + name, kind, torchvision_model(name))
        for name, kind in TIMM.items():
            add("timm " + name, kind, timm.create_model(name))
        for (name, depth), kind in TRANSFORMERS.items():
            add("transformers " + name, kind, transformers_model(name, depth))
    text = "".join(line + "\n" for line in lines).encode()
    golden = Path(__file__).parents[2] / "core/src/test/resources/golden"
    (golden / "other-networks.tsv.gz").write_bytes(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    main()
