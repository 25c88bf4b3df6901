"""Writes the golden files of losses (PyTorch, torchvision), metrics and runs (scikit-learn, timm, pandas, NumPy).

    tools/parity/run losses-metrics

All inputs are seeded and part of the files.
"""

import argparse
import base64
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.optimize import minimize_scalar
from scipy.stats import bootstrap
from sklearn import metrics as sk
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils.class_weight import compute_class_weight
from sklearn.calibration import calibration_curve
from timm.data.real_labels import RealLabelsImagenet
from torchmetrics.functional.classification import multiclass_calibration_error
from torchvision import transforms
from torchvision.ops import sigmoid_focal_loss


def rounded(tensor):
    return tensor.float().tolist()


def losses():
    """Losses of a batch and the gradients of its outputs, in float64."""
    torch.manual_seed(7)
    n, k = 5, 4
    x = (3 * torch.randn(n, k)).double()
    x[4] = torch.tensor([60.0, -60.0, 0.0, 3.0])  # sigmoid and softmax saturate
    weights = torch.rand(k).double() + 0.5
    weights = weights.float().double()
    label = torch.tensor([0, 3, 1, 3, 2])
    one_hot = F.one_hot(label, k).double()
    mixed = F.softmax(torch.randn(n, k), -1).float().double()
    multi_hot = (torch.rand(n, k) > 0.6).double()
    numbers = (2 * torch.randn(n, k)).float().double()
    cases = {
        "cross_entropy": (one_hot, lambda x: F.cross_entropy(x, label)),
        "cross_entropy probabilities": (mixed, lambda x: F.cross_entropy(x, mixed)),
        "cross_entropy weights": (mixed, lambda x: F.cross_entropy(x, mixed, weight=weights)),
        "binary_cross_entropy": (multi_hot, lambda x: F.binary_cross_entropy_with_logits(x, multi_hot)),
        "binary_cross_entropy smooth": (mixed, lambda x: F.binary_cross_entropy_with_logits(x, mixed)),
        "binary_cross_entropy weights": (
            multi_hot,
            lambda x: F.binary_cross_entropy_with_logits(x, multi_hot, pos_weight=weights),
        ),
        "focal": (multi_hot, lambda x: sigmoid_focal_loss(x, multi_hot, reduction="mean")),
        "focal without alpha": (
            multi_hot,
            lambda x: sigmoid_focal_loss(x, multi_hot, alpha=-1, gamma=1.5, reduction="mean"),
        ),
        "focal smooth": (mixed, lambda x: sigmoid_focal_loss(x, mixed, reduction="mean")),
        "mse": (numbers, lambda x: F.mse_loss(x, numbers)),
        "smooth_l1": (numbers, lambda x: F.smooth_l1_loss(x, numbers)),
        "smooth_l1 beta": (numbers, lambda x: F.smooth_l1_loss(x, numbers, beta=0.25)),
    }  # fmt: skip
    x = x.float().double()
    found = {"data": {"outputs": rounded(x), "weights": rounded(weights)}}
    for name, (targets, loss) in cases.items():
        leaf = x.clone().requires_grad_()
        value = loss(leaf)
        value.backward()
        found[name] = {
            "targets": rounded(targets),
            "loss": value.item(),
            "gradient": leaf.grad.tolist(),
        }
    # PyTorch smooths labels itself; here the targets are smoothed.
    leaf = x.clone().requires_grad_()
    value = F.cross_entropy(leaf, label, label_smoothing=0.1)
    value.backward()
    found["cross_entropy label smoothing"] = {
        "labels": label.tolist(),
        "loss": value.item(),
        "gradient": leaf.grad.tolist(),
    }
    teacher = (3 * torch.randn(n, k)).float().double()
    temperature, weight = 4, 0.3
    leaf = x.clone().requires_grad_()
    divergence = F.kl_div(
        F.log_softmax(leaf / temperature, -1), F.softmax(teacher / temperature, -1), reduction="batchmean"
    )
    value = (1 - weight) * F.cross_entropy(leaf, mixed) + weight * temperature**2 * divergence
    value.backward()
    found["distillation"] = {
        "targets": rounded(torch.cat([mixed, teacher], 1)),
        "loss": value.item(),
        "gradient": leaf.grad.tolist(),
    }
    return found


def runs():
    """What surrounds a training: frozen parameters, the learning-rate range test, folds."""
    torch.manual_seed(11)
    start, gradients = torch.randn(2, 3), torch.randn(5, 2, 3)
    found = {"data": {"start": start.tolist(), "gradients": gradients.tolist()}}
    build = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01),
    }
    for name, make in build.items():  # the second parameter is frozen for two steps
        parameters = [torch.nn.Parameter(row.clone()) for row in start]
        optimizer = make(parameters)
        for step, gradient in enumerate(gradients):
            optimizer.zero_grad()
            parameters[1].requires_grad_(step >= 2)
            for parameter, row in zip(parameters, gradient):
                parameter.grad = row.clone() if parameter.requires_grad else None
            torch.nn.utils.clip_grad_norm_(parameters, 1.5)
            optimizer.step()
        found[name] = {"weights": [parameter.tolist() for parameter in parameters]}
    rng = np.random.default_rng(2)
    rates = 1e-7 * (10 / 1e-7) ** (np.arange(60) / 59)
    losses = 2 - 1.5 / (1 + (0.02 / rates) ** 1.5) + np.where(rates > 1, rates**2, 0) + 0.1 * rng.random(60)
    smoothed = pd.Series(losses).ewm(alpha=0.02).mean().to_numpy()
    slopes = np.gradient(smoothed[10:-1], np.log(rates[10:-1]))
    found["range test"] = {
        "rates": rates.tolist(),
        "losses": losses.tolist(),
        "smoothed": smoothed.tolist(),
        "suggestion": rates[10 + int(np.argmin(slopes))],
    }
    labels = rng.choice(4, 43, p=[0.5, 0.3, 0.12, 0.08])
    found["folds"] = {"labels": labels.tolist()}
    for seed in (0, 7):
        for name, splitter in (
            ("stratified", StratifiedKFold(3, shuffle=True, random_state=seed)),
            ("plain", KFold(5, shuffle=True, random_state=seed)),
        ):
            held = [test.tolist() for _, test in splitter.split(labels, labels)]
            found["folds"][f"{name} {seed}"] = held
    pixels = rng.integers(0, 256, (20, 31, 3), dtype=np.uint8)
    crops = transforms.TenCrop((11, 13))(transforms.Resize(16)(Image.fromarray(pixels)))
    found["ten crops"] = {
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
        "crops": base64.b64encode(b"".join(np.asarray(crop).tobytes() for crop in crops)).decode(),
    }
    return found


def metrics():
    """Metrics of float32 scores, some of which are equal."""
    rng = np.random.default_rng(5)
    n, k = 60, 4
    truths = (rng.random((n, k)) < [0.5, 0.2, 0.05, 0.8]).astype(int)
    scores = (0.35 * truths + 0.65 * rng.random((n, k))).astype(np.float32)
    scores[:, 1] = np.round(scores[:, 1], 1)
    thresholds = np.array([0.5, 0.4, 0.6, 0.5], np.float32)
    predicted = (scores >= thresholds).astype(int)
    found = {
        "labels": {
            "truths": truths.tolist(),
            "scores": scores.tolist(),
            "thresholds": thresholds.tolist(),
            "average_precision": [sk.average_precision_score(truths[:, c], scores[:, c]) for c in range(k)],
            "map": sk.average_precision_score(truths, scores),
            "roc_auc": [sk.roc_auc_score(truths[:, c], scores[:, c]) for c in range(k)],
            "best_f1": [best_f1(truths[:, c], scores[:, c]) for c in range(k)],
        }
        | averages(truths, predicted, [None, "macro", "micro"])
    }  # fmt: skip
    truth, guess = rng.integers(0, 5, n), rng.integers(0, 5, n)
    guess[: n // 2] = truth[: n // 2]
    guess[guess == 4] = 3  # class 4 is never predicted
    found["classes"] = {
        "truths": truth.tolist(),
        "predicted": guess.tolist(),
        "accuracy": sk.accuracy_score(truth, guess),
        "balanced_weights": compute_class_weight("balanced", classes=np.arange(5), y=truth).tolist(),
    } | averages(truth, guess, [None, "macro"])
    logits = rng.normal(0, 3, (n, 5)).astype(np.float32)
    logits[np.arange(n), truth] += 2
    probabilities = torch.softmax(torch.tensor(logits).double(), -1)
    found["calibration"] = {
        "logits": logits.tolist(),
        "truths": truth.tolist(),
        "ece": multiclass_calibration_error(probabilities, torch.tensor(truth), 5, n_bins=15).item(),
        "temperature": minimize_scalar(
            lambda t: F.cross_entropy(torch.tensor(logits).double() / t, torch.tensor(truth)).item(),
            bounds=(0.01, 100), method="bounded", options={"xatol": 1e-10},
        ).x,
    }
    confidence, correct = probabilities.numpy().max(-1), probabilities.numpy().argmax(-1) == truth
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15)
    found["calibration"]["reliability"] = {"accuracy": accuracy.tolist(), "confidence": mean.tolist()}
    curves = [sk.roc_curve(truths[:, c], scores[:, c], drop_intermediate=False) for c in range(k)]
    found["labels"]["roc_curves"] = [[axis.tolist() for axis in curve[:2]] for curve in curves]
    found["calibration"]["roc_auc"] = [
        sk.roc_auc_score(truth == c, probabilities[:, c].numpy()) for c in range(5)
    ]
    interval = bootstrap(
        ((truth == guess).astype(float),), np.mean, n_resamples=20000, method="percentile", rng=rng
    ).confidence_interval
    found["classes"]["interval"] = [interval.low, interval.high]
    x = rng.normal(30, 8, (n, 2)).astype(np.float32)
    y = (x + rng.normal(0, 3, (n, 2))).astype(np.float32)
    found["numbers"] = {
        "truths": x.tolist(),
        "predicted": y.tolist(),
        "mae": sk.mean_absolute_error(x.astype(float), y.astype(float), multioutput="raw_values").tolist(),
        "rmse": sk.root_mean_squared_error(x.astype(float), y.astype(float), multioutput="raw_values").tolist(),
        "r2": sk.r2_score(x.astype(float), y.astype(float), multioutput="raw_values").tolist(),
    }  # fmt: skip
    found["real"] = real(rng)
    return found


def real(rng):
    """Several right classes of each image, as in ImageNet-ReaL: timm's accuracies."""
    logits = rng.normal(0, 1, (40, 12)).astype(np.float32)
    right = [sorted(rng.choice(12, rng.integers(1, 4), replace=False).tolist()) for _ in logits]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(right, file)
        file.flush()
        names = [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(len(right))]
        judge = RealLabelsImagenet(names, real_json=file.name)
    judge.add_result(torch.tensor(logits))
    return {
        "logits": logits.tolist(),
        "right": right,
        "top1": judge.get_accuracy(1),
        "top5": judge.get_accuracy(5),
    }


def best_f1(truths, scores):
    precision, recall, _ = sk.precision_recall_curve(truths, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-9)))


def averages(truths, predicted, kinds):
    found = {}
    for kind in kinds:
        p, r, f1, _ = sk.precision_recall_fscore_support(
            truths, predicted, average=kind, zero_division=0
        )
        for name, value in (("precision", p), ("recall", r), ("f1", f1)):
            found[f"{name} {kind or 'each'}"] = np.asarray(value).tolist()
    return found


def compact(cases):
    """JSON with one line per entry, so that diffs are readable."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in cases.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    parser = argparse.ArgumentParser()
    resources = Path(__file__).resolve().parents[2] / "core/src/test/resources/golden"
    parser.add_argument("--out", type=Path, default=resources)
    out = parser.parse_args().out
    (out / "losses.json").write_text(compact(losses()))
    (out / "runs.json").write_text(compact(runs()))
    (out / "metrics.json").write_text(compact(metrics()))


if __name__ == "__main__":
    main()
