"""Log-mel spectrograms of a folder of recordings: mmdx, against torchaudio called file by file in a plain Dataset with two workers.

    python scripts/bench_logmel.py FOLDER [--repeats 3]

FOLDER holds .wav files, as PhysioNet 2016's training folders do. Both read every file and make 32 bands from the same frames and hop; mmdx does it
as a run does, in threads of one process. torchaudio reads by soundfile, as its own reader needs a further package. Without mmdx's front
end (band-pass, spikes), which torchaudio has no part of; with it is the second line.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import soundfile
import torch
from torch.utils.data import DataLoader, Dataset

from mmdx.data.readers.sounds import read_recording
from mmdx.encoders.heart_sound import HeartSoundFrontEnd
from mmdx.encoders.log_mel import MelSpectrum

BANDS, FRAME, HOP = 32, 0.064, 0.016


class Plain(Dataset[Any]):
    """As a script has it: load, transform, one file at a time."""

    def __init__(self, files: list[Path]) -> None:
        import torchaudio

        self.files, rate = files, soundfile.info(files[0]).samplerate
        frame, hop = round(FRAME * rate), round(HOP * rate)
        self.mel = torchaudio.transforms.MelSpectrogram(
            rate, n_fft=4 * frame, win_length=frame, hop_length=hop, n_mels=BANDS, f_min=25.0, f_max=400.0
        )
        self.decibel = torchaudio.transforms.AmplitudeToDB()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        samples, _ = soundfile.read(self.files[index], dtype="float32")
        return self.decibel(self.mel(torch.from_numpy(samples)[None]))


def plain(files: list[Path]) -> int:
    """Every file by torchaudio in two workers."""
    return sum(len(batch) for batch in DataLoader(Plain(files), batch_size=8, num_workers=2, collate_fn=list))


def ours(files: list[Path], cleaned: bool) -> int:
    """Every file as ``LogMel.prepare`` does it."""
    spectrum = MelSpectrum(BANDS, 25.0, 400.0, FRAME, HOP)
    front = HeartSoundFrontEnd() if cleaned else None

    def made(file: Path) -> Any:
        recording = read_recording(file)
        return spectrum(front(recording) if front else recording)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(1 for _ in pool.map(made, files))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    files = sorted(given.folder.rglob("*.wav"))
    plain(files[:32])
    for name, cleaned in (("log-mel alone", False), ("with the front end", True)):
        pairs = [(seconds(partial(plain, files)), seconds(partial(ours, files, cleaned))) for _ in range(given.repeats)]
        ratios = [theirs / own for theirs, own in pairs]
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"{len(files)} recordings, {name}: {median(ratios):.1f} times as fast as torchaudio in two workers ({spread})")
        print(f"  the last: mmdx {pairs[-1][1]:.1f} s, torchaudio {pairs[-1][0]:.1f} s")


if __name__ == "__main__":
    main()
