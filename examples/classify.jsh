// Run it with the library's jars on the class path:
//   jshell --class-path 'resnet4j/lib/*' -R--enable-native-access=ALL-UNNAMED examples/classify.jsh
import io.github.resnet4j.*

var classifier = Classifier.embedded()
for (var prediction : classifier.classify(Path.of("samples/digit-6.png"), 3)) {
  System.out.println(prediction);
}
classifier.close()
/exit
