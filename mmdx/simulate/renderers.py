"""What shows the findings of each modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mmdx.simulate.heart_sound import render_heart_sound
from mmdx.simulate.labs import render_labs
from mmdx.simulate.note import render_note
from mmdx.simulate.radiograph import render_radiograph
from mmdx.simulate.rendering import Rendering
from mmdx.simulate.volume import render_volume

RENDERERS: Mapping[str, Callable[..., Rendering]] = MappingProxyType(
    {"image": render_radiograph, "text": render_note, "audio": render_heart_sound, "tabular": render_labs, "volume": render_volume}
)
"""By modality. The order is part of the seed: a new one goes to the end."""
