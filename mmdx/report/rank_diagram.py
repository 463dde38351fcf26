"""The critical-difference diagram of a comparison (Demsar 2006, section 3.2.4): mean ranks on a line, runs that do not differ joined by a bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdx.errors import InputError
from mmdx.files import write_atomically


def write_rank_diagram(comparison: dict[str, Any], stem: Path) -> None:
    """Write the diagram as ``stem.svg`` and ``stem.png``.

    Args:
        comparison: as ``compare`` returns it, with ``ranks``.
        stem: path without suffix.

    Raises:
        InputError: where scikit-posthocs or matplotlib isn't installed.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        import pandas as pd
        from scikit_posthocs import critical_difference_diagram
    except ImportError:
        raise InputError("the rank diagram needs scikit-posthocs and matplotlib: pip install 'mmdx[compare]'.") from None
    ranks = comparison["ranks"]
    names = list(ranks["mean_rank"])
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.25 * len(names)))
    try:
        critical_difference_diagram(ranks["mean_rank"], pd.DataFrame(ranks["p_pairs"], index=names, columns=names), ax=axes)
        axes.set_title(f"Mean rank over {ranks['blocks']} folds; critical difference {ranks['critical_difference']:.2f} (Nemenyi, 5 %)", fontsize=10)
        for kind in ("svg", "png"):
            target = stem.parent / f"{stem.name}.{kind}"
            write_atomically(target, lambda path, kind=kind: figure.savefig(path, format=kind, dpi=300, bbox_inches="tight"))  # type: ignore[misc]
    finally:
        plt.close(figure)
