# Functions for versions, used by 'check' and 'publish'.

# released FOLDER: the version of the POMs without -SNAPSHOT.
released() {
  sed -n '/<artifactId>resnet4j-bom</{n;s/.*<version>\(.*\)-SNAPSHOT<.*/\1/p;}' "$1/bom/pom.xml"
}

# set_version FOLDER VERSION: replaces the snapshot version in all POMs.
set_version() {
  local snapshot
  snapshot=$(released "$1")-SNAPSHOT
  sed -i "s|<version>$snapshot</version>|<version>$2</version>|" "$1"/pom.xml "$1"/*/pom.xml
}

# modules FOLDER: the artifacts that are published, without the POMs that have no jar.
modules() {
  sed -n 's|.*<artifactId>\(resnet4j.*\)</artifactId>.*|\1|p' "$1/bom/pom.xml" | grep -vE 'bom|benchmarks|examples'
}
