"""Facts about what is printed at the end of a run."""

import pandas as pd
import pytest
from made_predictions import made

from mmdx.evaluation.score import score
from mmdx.evaluation.table import print_results


def printed(capsys, frame, **options):
    print_results(score(frame, resamples=40, **options))
    return capsys.readouterr().out


def test_in_a_log_it_is_plain_text_of_width_100(capsys):
    text = printed(capsys, made(60, modalities=("audio", "image", "tabular", "text"), absent=0.2, retrained=True, folds=2))
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= 100


def test_it_says_every_value_and_what_it_rests_on(capsys):
    frame = made(retrained=True)
    metrics = score(frame, resamples=40)
    text = " ".join(printed(capsys, frame).split())
    for entries in metrics["test"].values():
        for name in ("auroc", "auprc", "sensitivity_at_90_specificity", "balanced_accuracy", "brier"):
            assert f"{entries[name]['value']:.3f}" in text and f"{entries[name]['low']:.3f}-{entries[name]['high']:.3f}" in text
    patients = metrics["test"]["image+text"]["auroc"]["n_units"]
    assert f"40 resamples of {patients} patients" in text and "chosen on validation rows" in text
    entry = metrics["differences"]["retrained"]["text"]["auroc"]
    difference = f"{entry['value']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}]"
    assert f"adding text to image: AUROC {difference} (retrained), {patients} patients" in text


def test_the_largest_subset_comes_first(capsys):
    rows = [line.split("  ")[0].strip() for line in printed(capsys, made()).splitlines()]
    assert [r for r in rows if r in ("image + text", "image", "text")] == ["image + text", "image", "text"]


def test_heart_sounds_have_macc_under_its_own_name(capsys):
    text = printed(capsys, made(patients=False, validation=False), extra_metrics=("macc",), unit_name="recording")
    assert "MAcc" in text and "Balanced" not in text and "recordings" in text and "fixed at 0.5" in text
    assert "Patients are not known" in text


@pytest.mark.parametrize("site", ["site1", None])
def test_what_is_not_defined_has_a_reason(capsys, site):
    frame = made(absent=0.3, sites=2)
    frame = frame[(frame["modalities"] != "text") | (frame["target"] == 1)]
    text = printed(capsys, frame if site else frame.drop(columns="meta_site"))
    assert "text: AUROC is not defined, only one class" in text


def test_multilabel_has_a_line_for_each_label(capsys):
    frame = pd.DataFrame({"sample_id": range(40), "target_edema": [0, 1] * 20, "prob_edema": [i / 40 for i in range(40)]})
    text = printed(capsys, frame.assign(target_mass=[1, 1, 0, 0] * 10, prob_mass=0.5))
    assert {"edema", "mass"} <= {line.split()[0] for line in text.splitlines() if line.strip()}
