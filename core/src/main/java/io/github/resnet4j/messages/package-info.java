/**
 * Texts for error messages: the reason of a failed file access, and suggestions for misspelled
 * names.
 */
@NullMarked
package io.github.resnet4j.messages;

import org.jspecify.annotations.NullMarked;
