"""The recorded runs: what their READMEs and the book say follows from the detections saved beside them."""

import json
import re
from pathlib import Path

import pytest

from yolov3_lib.data.scenes_drawing import SPLIT_STYLES, draw_scene, scene_name
from yolov3_lib.detections import Detections
from yolov3_lib.evaluate import VocResult, evaluate_coco, evaluate_voc
from yolov3_lib.predict import load_predictions
from yolov3_lib.training.config import TrainConfig
from yolov3_lib.training.record import read_rows

RUNS = Path(__file__).parent.parent / "data" / "runs"
SCENES = RUNS / "tiny_scenes"
SEED = 0
SPLITS = {"val": "predictions.json.gz", "heldout": "heldout.json.gz"}


@pytest.fixture(scope="module", params=SPLITS)
def measured(request) -> tuple[str, list, list[Detections], tuple[str, ...]]:
    """A split, its truths drawn anew from the seed, and the saved detections in the same order."""
    split = request.param
    saved, content = load_predictions(SCENES / SPLITS[split])
    names = [scene_name(split, index) for index in range(len(saved))]
    assert list(saved) == names
    truths = [draw_scene(SEED, split, index)[1] for index in range(len(saved))]
    return split, truths, list(saved.values()), tuple(content["class_names"])


def record() -> dict:
    return json.loads((SCENES / "run.json").read_text(encoding="utf-8"))


def claimed() -> dict[str, tuple[float, float]]:
    """mAP by area and AP50 by pycocotools for each split, as the README's table has them."""
    text = (SCENES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| \d+ \| \*\*(\.\d{3})\*\* \| (\.\d{3}) \|", text, flags=re.M)
    return {split: (float(area), float(coco)) for split, area, coco in rows}


def test_the_maps_of_the_record_follow_from_the_saved_detections(measured):
    split, truths, found, class_names = measured
    result: VocResult = evaluate_voc(found, truths, class_names)
    assert result.without_truths == []
    area, coco = claimed()[split]
    assert float(result.map_area) == pytest.approx(area, abs=0.0006)
    if split == "val":
        assert float(result.map_area) == pytest.approx(record()["best_map_area"], abs=1e-6)
        assert result.map_area >= 0.5

    # An independent implementation. It counts difficult objects a little differently.
    ap50 = evaluate_coco(found, truths, class_names)["AP50"]
    assert ap50 == pytest.approx(coco, abs=0.0006)
    assert ap50 == pytest.approx(float(result.map_area), abs=0.02)


def test_the_other_style_is_harder():
    maps = claimed()
    assert set(maps) == set(SPLIT_STYLES) - {"train"}
    assert maps["heldout"][0] < maps["val"][0]


def test_the_csv_files_tell_the_same_run():
    config = TrainConfig.from_dict(json.loads((SCENES / "config.json").read_text(encoding="utf-8")))
    steps, epochs = read_rows(SCENES / "steps.csv"), read_rows(SCENES / "metrics.csv")
    run = record()
    assert run["status"] == "finished"
    assert len(steps) == run["step"] == config.epochs * (run["training_images"] // config.batch_size)
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    assert len(epochs) == run["epoch"] == config.epochs
    assert epochs[-1]["map_area"] == pytest.approx(run["best_map_area"], abs=1e-5)
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    for row in epochs:
        of_epoch = [step for step in steps if step["epoch"] == row["epoch"] - 1]
        assert row["loss"] == pytest.approx(sum(step["loss"] for step in of_epoch) / len(of_epoch), rel=1e-4)
