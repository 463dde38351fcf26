"""A folder with what simulated patients look and sound like, and what is true of them, for people."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmdx.data.raw import Recording
from mmdx.files import write_atomically, write_json, write_text
from mmdx.simulate.rendering import Rendering

if TYPE_CHECKING:
    from mmdx.simulate.cohort import SimulatedCohort

TILE = 256
COLOURS = {"lungs": (70, 130, 220), "heart": (225, 70, 70), "effusion": (60, 190, 120), "opacity": (240, 190, 40)}
EVENT_COLOURS = {
    "S1": (225, 70, 70),
    "S2": (70, 130, 220),
    "S3": (240, 190, 40),
    "S4": (200, 90, 210),
    "systolic murmur": (60, 190, 120),
    "diastolic murmur": (240, 140, 60),
}
STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
section{border-top:1px solid #ccc;padding:1em 0}img{image-rendering:pixelated;margin-right:8px}
pre{white-space:pre-wrap;background:#f6f6f4;padding:.8em}
mark{background:#ffe9a8}dt{font-weight:600;float:left;clear:left;width:13em}dd{margin-left:13em}"""


def write_gallery(cohort: SimulatedCohort, rows: Sequence[int], folder: Path) -> Path:
    """Write one file for each modality of each row, its truth, one picture of all, and a page.

    Args:
        cohort: whose patients are shown; a missing modality is left out.
        rows: positions.
        folder: made where it isn't there.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    strips, sections = [], []
    for row in rows:
        there = {m: cohort.render(row, m, with_truth=True) for m in cohort.modalities if cohort.present[m][row]}
        name = str(cohort.table["sample_id"][row])
        for m, rendering in there.items():
            _write(folder / f"{name}_{m}", rendering)
        write_json(folder / f"{name}.json", _plain(cohort, row, there))
        strips.append(_strip(f"{name}, {'diseased' if cohort.diagnosis[row] else 'healthy'}", there))
        sections.append(_section(cohort, row, name, there))
    sheet = Image.fromarray(np.concatenate(strips))
    write_atomically(folder / "patients.png", lambda path: sheet.save(path, "PNG", optimize=True))
    page = folder / "index.html"
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>Simulated patients</title><style>{STYLE}</style><h1>Simulated patients</h1>"
    write_text(page, head + "<p>None of them is a person.</p>" + "".join(sections) + "</html>\n")
    return page


def _write(stem: Path, rendering: Rendering) -> None:
    raw = rendering.raw
    if isinstance(raw, str):
        write_text(stem.with_suffix(".txt"), raw + "\n")
    elif isinstance(raw, Recording):
        import soundfile

        write_atomically(stem.with_suffix(".wav"), lambda path: soundfile.write(path, raw.samples, raw.rate, "PCM_16", format="WAV"))
    elif isinstance(raw, np.ndarray):
        picture = Image.fromarray(_flat(raw))
        write_atomically(stem.with_suffix(".png"), lambda path: picture.save(path, "PNG"))
        masks = rendering.truth.get("masks")
        if masks and raw.ndim == 2:
            outlined = Image.fromarray(_outlined(raw, masks))
            write_atomically(stem.with_name(f"{stem.name}_masks.png"), lambda path: outlined.save(path, "PNG"))


def _plain(cohort: SimulatedCohort, row: int, there: dict[str, Rendering]) -> dict[str, Any]:
    visit = cohort.visits[row]._asdict()
    visit.pop("person")
    quantities = {m: {k: v for k, v in rendering.truth.items() if k != "masks"} for m, rendering in there.items()}
    latent = {name: float(value[row]) for name, value in cohort.findings.value.items() if cohort.findings.active[name][row]}
    posterior = float(cohort.posterior(cohort.modalities)[row])
    return {"diagnosis": int(cohort.diagnosis[row]), "posterior": posterior, "visit": visit, "latent": latent, "shown": quantities}


def _flat(image: np.ndarray) -> np.ndarray:
    """A volume as eight of its slices side by side."""
    return image if image.ndim == 2 else np.concatenate(list(image[:: max(1, len(image) // 8)][:8]), axis=1)


def _outlined(image: np.ndarray, masks: dict[str, np.ndarray]) -> np.ndarray:
    coloured = np.repeat(image[..., None], 3, axis=2)
    for name, mask in masks.items():
        inner = mask.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                inner &= np.roll(mask, step, axis)
        coloured[mask & ~inner] = COLOURS.get(name, (255, 255, 255))
    return coloured


def _strip(title: str, there: dict[str, Rendering]) -> np.ndarray:
    """Film, film with masks, sound and note side by side, uint8 [TILE, 5 TILE, 3]."""
    film = there.get("image")
    outlined = _outlined(film.raw, film.truth["masks"]) if film else None
    tiles = [_tile(film.raw if film else None), _tile(outlined), _sound_tile(there.get("audio")), _note_tile(title, there.get("text"))]
    return np.concatenate(tiles, axis=1)


def _tile(image: np.ndarray | None) -> np.ndarray:
    if image is None:
        return _written("missing")
    return np.asarray(Image.fromarray(image).convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST))


def _written(text: str, width: int = TILE) -> np.ndarray:
    picture = Image.new("RGB", (width, TILE), (250, 250, 248))
    ImageDraw.Draw(picture).multiline_text((8, 6), text, (30, 30, 30), ImageFont.load_default(11), spacing=3)
    return np.asarray(picture)


def _sound_tile(rendering: Rendering | None) -> np.ndarray:
    """Two seconds of the sound, with its events above."""
    if rendering is None:
        return _written("missing")
    recording, picture = rendering.raw, Image.new("RGB", (TILE, TILE), (250, 250, 248))
    draw, seconds = ImageDraw.Draw(picture), 2.0
    samples = recording.samples[: int(seconds * recording.rate)]
    edges = np.linspace(0, len(samples), TILE + 1).astype(int)
    for x, (start, stop) in enumerate(pairwise(edges)):
        low, high = (float(f(samples[start:stop])) for f in (np.min, np.max))
        draw.line([(x, 150 - 95 * high), (x, 150 - 95 * low)], fill=(60, 60, 60))
    for event in rendering.truth["events"]:
        if event["start"] < seconds:
            box = [event["start"] / seconds * TILE, 30, min(event["stop"], seconds) / seconds * TILE, 38]
            lower = 12 if "murmur" in event["kind"] else 0
            draw.rectangle([box[0], box[1] - lower, max(box[2], box[0] + 1), box[3] - lower], fill=EVENT_COLOURS[event["kind"]])
    return np.asarray(picture)


def _note_tile(title: str, rendering: Rendering | None) -> np.ndarray:
    import textwrap

    lines = [title, ""]
    for line in (rendering.raw if rendering else "note missing").split("\n"):
        lines += textwrap.wrap(line, 88) or [""]
    return _written("\n".join(lines[:18]), 2 * TILE)


def _section(cohort: SimulatedCohort, row: int, name: str, there: dict[str, Rendering]) -> str:
    visit = cohort.visits[row]
    who = f"{name}: {visit.age} years, {visit.sex}, {cohort.table['site'][row]}; {'diseased' if cohort.diagnosis[row] else 'healthy'}"
    parts = [f"<section><h2>{html.escape(who)}</h2>"]
    for m, rendering in there.items():
        if isinstance(rendering.raw, str):
            parts.append(f"<pre>{_marked(rendering)}</pre>")
        elif isinstance(rendering.raw, Recording):
            parts.append(f'<p><audio controls src="{name}_{m}.wav"></audio></p>')
        elif isinstance(rendering.raw, np.ndarray):
            width = 2 * rendering.raw.shape[-1] if rendering.raw.ndim == 2 else 1024
            parts.append(f'<img src="{name}_{m}.png" width={width} alt="{m}">')
            if rendering.raw.ndim == 2 and rendering.truth.get("masks"):
                parts.append(f'<img src="{name}_{m}_masks.png" width={width} alt="{m} with masks">')
    facts = {"posterior of all": f"{cohort.posterior(cohort.modalities)[row]:.3f}"}
    for m, rendering in there.items():
        shown = {k: v for k, v in rendering.truth.items() if k not in ("masks", "events", "spans")}
        facts[m] = json.dumps(shown, default=float) if not isinstance(rendering.raw, dict) else json.dumps(rendering.raw)
    parts.append("<dl>" + "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items()) + "</dl></section>")
    return "".join(parts)


def _marked(rendering: Rendering) -> str:
    """A note with its findings marked."""
    text, parts, at = rendering.raw, [], 0
    for span in sorted(rendering.truth["spans"], key=lambda s: s["start"]):
        parts += [html.escape(text[at : span["start"]]), "<mark>", html.escape(text[span["start"] : span["stop"]]), "</mark>"]
        at = span["stop"]
    return "".join([*parts, html.escape(text[at:])])
