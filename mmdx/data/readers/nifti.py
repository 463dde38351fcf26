"""NIfTI volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmdx.data.readers.common import InputFile, Pixels
from mmdx.errors import InputError

NIFTI = (".nii", ".nii.gz")
IN_MM = {"meter": 1000.0, "micron": 0.001}
"""Units of length that a header may state beside mm; one that states none is taken to be in mm."""


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its suffix."""
    return path.name.lower().endswith(NIFTI)


def read_nifti(file: InputFile) -> Pixels:
    """A volume [D, H, W] as float32: D from inferior to superior, H from posterior to anterior, W from left to right.

    Raises:
        SampleError: where it has not three axes, or holds complex numbers or colours.
        InputError: where nibabel is not installed.
    """
    try:
        import nibabel
    except ImportError:
        raise InputError("reading NIfTI needs nibabel: pip install 'mmdx[medical]'") from None
    image: Any = nibabel.load(file.path)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise file.fault(f"cannot be read as a volume: it has {len(shape)} axes {shape}, expected three; write one volume to a file of its own")
    if image.get_data_dtype().kind not in "iuf":
        raise file.fault(f"cannot be read as a volume: its values are {image.get_data_dtype()}, expected one real number a voxel")
    spacing = stated_spacing(file.path, image)
    turned = nibabel.as_closest_canonical(image)  # axes to the right, anterior, superior
    volume = np.asarray(turned.get_fdata(dtype=np.float32)).reshape(turned.shape[:3])
    if spacing is not None:
        order = nibabel.io_orientation(image.affine)[:, 0].argsort()
        spacing = spacing[order[:3].astype(int)]
    return Pixels(np.ascontiguousarray(volume.transpose(2, 1, 0)), True, None if spacing is None else (*spacing[::-1].tolist(),))


def stated_spacing(path: Path, image: Any) -> np.ndarray | None:
    """mm between voxels along a nibabel image's own axes: by its matrix where one is stated (sform), else by its header; None where neither."""
    import nibabel

    unit = IN_MM.get(image.header.get_xyzt_units()[0], 1.0)
    if int(image.header["sform_code"]) > 0:
        spacing = nibabel.affines.voxel_sizes(image.affine)
    else:
        with nibabel.openers.ImageOpener(str(path)) as opened:  # unmended: nibabel turns a spacing of 0 into 1
            spacing = np.asarray(type(image.header).from_fileobj(opened, check=False)["pixdim"][1:4], np.float64)
    return spacing * unit if np.isfinite(spacing).all() and (spacing > 0).all() else None
