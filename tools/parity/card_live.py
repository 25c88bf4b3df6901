"""Reads the model cards of trainings with huggingface_hub.

    tools/parity/run card
"""

import subprocess
import tempfile
from pathlib import Path

from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import eval_results_to_model_index

ROOT = Path(__file__).resolve().parents[2]


def train(folder, *arguments):
    out = folder / "digit recognizer"
    command = [ROOT / "resnet4j", "train", "-m", "resnet8", "-o", out, "--epochs", "1", *arguments]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return out / "README.md"


def check(file, results, **fields):
    card = ModelCard.load(file, ignore_metadata_errors=False)
    data = card.data.to_dict()
    assert data == metadata_load(file), data
    for name, value in fields.items():
        assert data.get(name) == value, (name, data.get(name))
    found = [(r.metric_type, r.metric_name) for r in card.data.eval_results or []]
    assert found == results, found
    if results:  # the form that huggingface_hub writes itself
        index = eval_results_to_model_index(card.data.model_name, card.data.eval_results)
        assert index == metadata_load(file)["model-index"], index
    print("ok  ", file.parent.name, data["tags"], found)


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    file = train(folder, "-d", "digits", "--license", "apache-2.0")
    check(
        file,
        [("accuracy", "top-1 accuracy"), ("accuracy", "top-5 accuracy")],
        license="apache-2.0",
        library_name="resnet4j",
        pipeline_tag="image-classification",
        datasets=["digits"],
        metrics=["accuracy"],
        tags=["resnet4j", "resnet", "image-classification"],
    )
    lines = ["path,size"]
    for i in range(20):
        lines.append(f"{ROOT / 'samples' / 'digit-6.png'},{i}")
    (folder / "a: b.csv").write_text("\n".join(lines))
    other = folder / "numbers"
    other.mkdir()
    file = train(other, "-d", folder / "a: b.csv", "--license", "mit")
    check(file, [("mae", "mean absolute error")], license="mit", datasets=["a: b.csv"], pipeline_tag=None)
