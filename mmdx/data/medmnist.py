"""MedMNIST v2: twelve sets of small medical images in one form, from 28 to 224 pixels."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdx.data.tables import build_table, check_classes, need_folder, sample
from mmdx.errors import InputError, SampleError
from mmdx.files import write_atomically

if TYPE_CHECKING:
    from mmdx.types import Sample

SIZES = (28, 64, 128, 224)
SPLITS = ("train", "val", "test")
BINARY, MULTICLASS, MULTILABEL = "binary", "multiclass", "multilabel"
_ORGANS = (
    "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right", "pancreas", "spleen",
)  # fmt: skip


class Subset(NamedTuple):
    """One set, as the publisher's table of them says (package medmnist 3.0.2).

    Attributes:
        task: what suits it.
        classes: names by the number that the file has, or of the labels in the order of its columns.
        positive: of a binary set the number of the diagnosis.
    """

    task: str
    classes: tuple[str, ...]
    positive: int = 1


SUBSETS = {
    "pathmnist": Subset(
        MULTICLASS,
        (
            "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa", "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
    ),
    "chestmnist": Subset(
        MULTILABEL,
        (
            "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax", "consolidation", "edema",
            "emphysema", "fibrosis", "pleural", "hernia",
        ),
    ),
    "dermamnist": Subset(
        MULTICLASS,
        (
            "actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma", "benign keratosis-like lesions", "dermatofibroma",
            "melanoma", "melanocytic nevi", "vascular lesions",
        ),
    ),
    "octmnist": Subset(MULTICLASS, ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal")),
    "pneumoniamnist": Subset(BINARY, ("normal", "pneumonia")),
    "retinamnist": Subset(MULTICLASS, ("0", "1", "2", "3", "4")),
    "breastmnist": Subset(BINARY, ("malignant", "normal, benign"), positive=0),
    "bloodmnist": Subset(
        MULTICLASS,
        (
            "basophil", "eosinophil", "erythroblast", "immature granulocytes", "lymphocyte", "monocyte", "neutrophil", "platelet",
        ),
    ),
    "tissuemnist": Subset(
        MULTICLASS,
        (
            "Collecting Duct, Connecting Tubule", "Distal Convoluted Tubule", "Glomerular endothelial cells", "Interstitial endothelial cells",
            "Leukocytes", "Podocytes", "Proximal Tubule Segments", "Thick Ascending Limb",
        ),
    ),
    "organamnist": Subset(MULTICLASS, _ORGANS),
    "organcmnist": Subset(MULTICLASS, _ORGANS),
    "organsmnist": Subset(MULTICLASS, _ORGANS),
}  # fmt: skip


class MedMnist:
    """One 2-D set of MedMNIST v2 (Yang et al. 2023, Sci Data 10:41), one row an image, with the official division as ``split``.

    A binary set's target is 1 for the diagnosis: pneumonia, or a malignant tumour, which breastmnist's own numbers have as 0. Other sets have
    the names of the classes (retinamnist: the grade, 0 to 4, without its order), chestmnist one label for each of 14 findings.
    Patients are not published.

    The files are compressed and cannot be read image by image, so each array is laid open once, as ``.npy`` under ``unpack_to``, and mapped
    into memory from there: a loader process holds the images that it is asked for and no more.

    Args:
        root: folder that holds ``SUBSET.npz`` (28 pixels) or ``SUBSET_SIZE.npz``.
        subset: pneumoniamnist, chestmnist and so on.
        size: side of the images: 28, 64, 128 or 224 pixels.
        unpack_to: folder for the arrays; None takes the user's cache folder. They need as much room as the images have bytes
            (pathmnist at 224 pixels: 16 GB), and are made again where they are deleted.

    Raises:
        InputError: where the folder or file is missing, damaged or of another form, an argument is out of range, or the disk is full.
    """

    modalities: tuple[str, ...] = ("image",)
    unit = "image"

    def __init__(self, root: str | Path, subset: str, size: int = 28, unpack_to: str | Path | None = None) -> None:
        if subset not in SUBSETS:
            raise InputError(f"data.subset={subset}: must be one of {', '.join(SUBSETS)}.")
        if size not in SIZES:
            raise InputError(f"data.size={size}: must be one of {', '.join(map(str, SIZES))}.")
        self.root, self.size = need_folder(root, f"{subset}.npz"), size
        self.file = self.root / (f"{subset}.npz" if size == 28 else f"{subset}_{size}.npz")
        if not self.file.is_file():
            raise InputError(f"data.root={root}: there is no {self.file.name} in it. `mmdx data fetch {subset}` gets the 28-pixel one.")
        self.faults: list[SampleError] = []
        self.arrays = {split: _laid_open(self.file, f"{split}_images", unpack_to) for split in SPLITS}
        labels = {split: np.load(_laid_open(self.file, f"{split}_labels", unpack_to), allow_pickle=False) for split in SPLITS}
        for split in SPLITS:
            self._check(split, labels[split], SUBSETS[subset])
        parts = [split for split in SPLITS for _ in range(len(labels[split]))]
        unknown = [None] * len(parts)
        columns: dict[str, Any] = {
            "sample_id": [f"{split}/{i}" for split in SPLITS for i in range(len(labels[split]))],
            "patient_id": unknown,
            "site": unknown,
            "split": parts,
        }
        self.table = build_table(columns | _targets(np.concatenate([labels[split] for split in SPLITS]), SUBSETS[subset]))
        check_classes(self.table, self.file.name, self.faults)

    def _check(self, split: str, labels: np.ndarray, subset: Subset) -> None:
        """Check that images and labels of a part have the published form."""
        images = _mapped(self.arrays[split])
        form = f"{self.size} x {self.size} pixels of uint8"
        if images.dtype != np.uint8 or images.shape[1:] not in {(self.size, self.size), (self.size, self.size, 3)}:
            raise InputError(f"{self.file.name}: {split}_images is {images.dtype} of shape {images.shape}, expected {form}, grey or RGB.")
        width = len(subset.classes) if subset.task == MULTILABEL else 1
        if labels.dtype.kind not in "iu" or labels.shape != (len(images), width):
            form = f"whole numbers [{len(images)}, {width}]"
            raise InputError(f"{self.file.name}: {split}_labels is {labels.dtype} of shape {labels.shape}, expected {form}.")
        most = 1 if subset.task == MULTILABEL else len(subset.classes) - 1
        if len(labels) and (labels.min() < 0 or labels.max() > most):
            raise InputError(f"{self.file.name}: {split}_labels has {labels.min()} to {labels.max()}, expected 0 to {most}.")

    def __len__(self) -> int:
        return len(self.table)

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row; all rows share one."""
        return {"image": [self.file]}

    def __getitem__(self, index: int) -> Sample:
        split, position = str(self.table["sample_id"].iloc[index]).split("/")
        return sample(self.table, index, {"image": np.array(_mapped(self.arrays[split])[int(position)])})


def _targets(labels: np.ndarray, subset: Subset) -> dict[str, Any]:
    if subset.task == MULTILABEL:
        return {f"target_{name}": labels[:, k].astype(int) for k, name in enumerate(subset.classes)}
    if subset.task == BINARY:
        return {"target": (labels[:, 0] == subset.positive).astype(int)}
    return {"target": [subset.classes[number] for number in labels[:, 0]]}


def _mapped(path: Path) -> np.ndarray:
    """An array on the disk, read where it is looked at; opened anew each time, since a map that is sent to a process arrives as a copy."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _laid_open(file: Path, name: str, folder: str | Path | None) -> Path:
    """The ``.npy`` of one array of an ``.npz``, named after its content and made where it is not there yet."""
    try:
        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo(f"{name}.npy")
            path = _folder(folder) / f"{file.stem}-{name}-{info.CRC:08x}-{info.file_size}.npy"
            if not path.is_file():
                with archive.open(info) as source:  # zipfile checks the sum as it goes
                    write_atomically(path, lambda temporary: _copy(source, temporary))
    except KeyError:
        raise InputError(f"{file.name}: there is no array {name} in it. Get the file anew.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as fault:
        raise InputError(f"{file.name}: damaged or cut short ({fault}). Get the file anew.") from None
    except OSError as fault:
        raise InputError(f"{file.name}: its arrays cannot be laid open ({fault}). Give a folder with room by data.unpack_to=FOLDER.") from None
    try:
        _mapped(path)
    except (ValueError, EOFError) as fault:
        why = f"{name} is not a plain array, or {path} was damaged since ({fault})"
        raise InputError(f"{file.name}: {why}. Remove that file, or get the first anew.") from None
    return path


def _copy(source: Any, path: Path) -> None:
    with path.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def _folder(given: str | Path | None) -> Path:
    from mmdx.files import user_cache

    return Path(given).expanduser() if given is not None else user_cache() / "medmnist"
