/** Why a network says what it says: heat maps over pictures. */
@NullMarked
package io.github.resnet4j.explain;

import org.jspecify.annotations.NullMarked;
