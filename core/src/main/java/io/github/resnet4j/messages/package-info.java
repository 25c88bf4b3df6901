/** What error messages say: why a file could not be used, and which name was probably meant. */
@NullMarked
package io.github.resnet4j.messages;

import org.jspecify.annotations.NullMarked;
