"""The networks in PyTorch, for all options that torchvision does not support.

Blocks, widths and initialization are torchvision's; only what surrounds them is written here:
any number of stages, the small-image stem, the parameter-free shortcut, the stride on the first
1x1 and a network without its head.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1


class SubsampleAndPad(nn.Module):
    """Option A of the paper: every stride-th pixel, new channels zero, half of them in front."""

    def __init__(self, channels, stride):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        missing = self.channels - x.shape[1]
        return F.pad(x, (0, 0, 0, 0, missing // 2, missing - missing // 2))


class Network(nn.Module):
    def __init__(
        self,
        block,
        blocks,
        channels=64,
        groups=1,
        width_per_group=64,
        small_image=False,
        stride_first=False,
        zero_pad=False,
        dilated=None,
        zero_init_residual=False,
        in_channels=3,
        num_classes=1000,
        include_top=True,
    ):
        super().__init__()
        self.zero_pad, self.stride_first = zero_pad, stride_first
        self.groups, self.base_width = groups, width_per_group
        self.inplanes, self.dilation = channels, 1
        dilated = dilated or [False] * (len(blocks) - 1)
        if small_image:
            self.conv1 = nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False)
            self.pool = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(in_channels, channels, 7, 2, 3, bias=False)
            self.pool = nn.MaxPool2d(3, 2, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.stages = []
        for i, n in enumerate(blocks):
            stride = 1 if i == 0 else 2
            dilate = i > 0 and dilated[i - 1]
            name = f"layer{i + 1}"
            self.add_module(name, self.stage(block, channels << i, n, stride, dilate))
            self.stages.append(name)
        self.include_top = include_top
        if include_top:
            self.fc = nn.Linear(self.inplanes, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
        if zero_init_residual:
            for m in self.modules():
                if isinstance(m, Bottleneck):
                    nn.init.constant_(m.bn3.weight, 0)
                elif isinstance(m, BasicBlock):
                    nn.init.constant_(m.bn2.weight, 0)

    def stage(self, block, planes, count, stride, dilate):
        previous = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        layers = []
        for i in range(count):
            s = stride if i == 0 else 1
            out = planes * block.expansion
            downsample = None
            if s != 1 or self.inplanes != out:
                if self.zero_pad:
                    downsample = SubsampleAndPad(out, s)
                else:
                    downsample = nn.Sequential(
                        conv1x1(self.inplanes, out, s), nn.BatchNorm2d(out)
                    )
            dilation = previous if i == 0 else self.dilation
            layer = block(
                self.inplanes, planes, s, downsample, self.groups, self.base_width, dilation
            )
            if self.stride_first and block is Bottleneck:
                layer.conv1.stride, layer.conv2.stride = (s, s), (1, 1)
            layers.append(layer)
            self.inplanes = out
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = getattr(self, name)(x)
        if self.include_top:
            x = self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return x


def cifar(n, **options):
    """ResNet-(6n+2) of the paper's section 4.2; option A unless told otherwise."""
    options = {"zero_pad": True, "num_classes": 10, **options}
    return Network(BasicBlock, [n, n, n], channels=16, small_image=True, **options)
