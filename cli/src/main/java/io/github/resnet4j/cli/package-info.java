package io.github.resnet4j.cli;
