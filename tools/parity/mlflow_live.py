"""Tracks trainings on a real MLflow server and reads them with MLflow's client.

    tools/parity/run mlflow
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import mlflow
from mlflow.models import Model

ROOT = Path(__file__).resolve().parents[2]


def train(folder, *arguments, **variables):
    command = [ROOT / "resnet4j", "train", "-d", "digits", "-m", "resnet8", "-o", folder, *arguments]
    begin = time.time()
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr, time.time() - begin


def serve(folder, port):
    server = subprocess.Popen(
        [
            Path(sys.executable).with_name("mlflow"), "server", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/runs.db",
            "--artifacts-destination", folder / "artifacts",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
            return server
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("the MLflow server does not start")


def main(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(folder, port)
    try:
        uri = f"http://127.0.0.1:{port}"
        variables = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": "digits: a & b"}
        out = folder / "run 1"
        errors, _ = train(out, "--epochs", "2", MLFLOW_RUN_NAME="first", **variables)
        assert "MLflow" not in errors, errors
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("digits: a & b")
        (run,) = client.search_runs([experiment.experiment_id])
        assert (run.info.status, run.info.run_name) == ("FINISHED", "first"), run.info
        assert run.data.params["batch size"] == "64" and run.data.params["epochs"] == "2", run.data.params
        steps = client.get_metric_history(run.info.run_id, "train_loss")
        assert [point.step for point in steps] == list(range(1, 47)), len(steps)
        scores = client.get_metric_history(run.info.run_id, "val_accuracy")
        lines = (out / "metrics.csv").read_text().splitlines()[1:]
        assert [f"{p.value:.4f}" for p in scores] == [line.split(",")[5] for line in lines], scores
        print("ok   parameters,", len(steps), "steps,", len(scores), "epochs")

        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"README.md", "metrics.csv", "report.html", "loss.png", "model"} <= files, files
        model = Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/model"))
        assert (model / "model.safetensors").read_bytes() == (out / "best.safetensors").read_bytes()
        info = Model.load(f"runs:/{run.info.run_id}/model")
        assert info.flavors["resnet4j"]["serve"] == "resnet4j serve --weights model.safetensors", info.flavors
        assert info.run_id == run.info.run_id
        print("ok   files and model:", info.flavors["resnet4j"])

        train(out, "--epochs", "3", "--resume", "--lr-scheduler", "one_cycle", **variables)
        (run,) = client.search_runs([experiment.experiment_id])
        assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 69, "resumed"
        assert run.info.status == "FINISHED"
        print("ok   a resumed training continues its run")

        os.killpg(server.pid, 9)
        errors, seconds = train(folder / "run 2", "--epochs", "1", **variables)
        assert errors.count("MLflow: ") == 1 and "is not tracked there" in errors, errors
        assert (folder / "run 2" / "best.safetensors").exists()
        print(f"ok   without the server: one warning, the training ends after {seconds:.0f} s")
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 9)


with tempfile.TemporaryDirectory() as name:
    main(Path(name))
