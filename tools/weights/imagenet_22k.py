#!/usr/bin/env python3
"""Writes the names of the 21,841 classes of ImageNet's 2011 release, in the order of their WordNet ids,
which is the order of torchvision's ImageFolder and of timm's checkpoints: the first name of each synset
in timm, followed by its id if several synsets have the same name.
"""
import collections
import pathlib

import timm.data

INFO = pathlib.Path(timm.data.__file__).parent / "_info"
OUT = (pathlib.Path(__file__).resolve().parents[2]
       / "core/src/main/resources/io/github/resnet4j/imagenet-22k.txt")

synsets = (INFO / "imagenet22k_synsets.txt").read_text().split()
lemmas = dict(line.split("\t", 1)
              for line in (INFO / "imagenet_synset_to_lemma.txt").read_text().splitlines())
names = [lemmas[synset].split(",")[0] for synset in synsets]
counts = collections.Counter(names)
OUT.write_text("".join(f"{name}\n" if counts[name] == 1 else f"{name} ({synset})\n"
                       for name, synset in zip(names, synsets)))
