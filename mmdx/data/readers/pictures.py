"""PNG, JPEG, TIFF and whatever else Pillow reads."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFile, ImageOps

from mmdx.data.readers.common import InputFile, Pixels

PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""Tag of a TIFF file that says what its values mean, and the value by which 0 is white."""


def read_picture(file: InputFile) -> Pixels:
    """An image [H, W] or [H, W, 3] in the file's own value type, upright as EXIF says; a TIFF of several pages is a volume.

    Grey keeps 8, 16 and 32 bits and floats; palettes, alpha, CMYK and colours of 16 bits a channel become RGB of 8 bits, as Pillow converts them.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have switched it on, and half an image would pass for a whole one
    with file.path.open("rb") as opened, Image.open(opened) as image:  # not by its path: Pillow then mixes up a plain TIFF that is to be turned
        pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        arrays = []
        for page in range(pages):
            if pages > 1:
                image.seek(page)
            image.load()
            arrays.append(_array(ImageOps.exif_transpose(image), _white_is_zero(image)))
    if len({array.shape for array in arrays}) > 1 or (pages > 1 and arrays[0].ndim == 3):
        raise file.fault("cannot be read as a volume: its pages are not greyscale images of one size")
    return Pixels(np.stack(arrays), is_volume=True) if pages > 1 else Pixels(arrays[0])


def _white_is_zero(image: Image.Image) -> bool:
    """Whether Pillow leaves it to us to turn a TIFF's values: it does so for 16 bits, and for 8 bits and fewer turns them itself."""
    return image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO


def _array(image: Image.Image, turn: bool) -> np.ndarray:
    if image.mode in {"1", "LA", "La"}:
        image = image.convert("L")
    elif image.mode not in {"L", "RGB", "F"} and not image.mode.startswith("I"):
        image = image.convert("RGB")
    array = np.asarray(image)
    array = array.astype(array.dtype.newbyteorder("="))
    return np.iinfo(array.dtype).max - array if turn else array
