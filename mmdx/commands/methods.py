"""``mmdx methods``: the fusions that there are."""

from __future__ import annotations

import argparse
import json

from mmdx.commands.hydra_app import config_folder, telling
from mmdx.errors import InputError


def main() -> None:
    """Print the table of fusions, and the strategies around them."""
    about = "All fusions, those of installed plug-ins included: family, paper, what they read, what becomes of an absent modality, size and cost."
    parser = argparse.ArgumentParser("mmdx methods", description=about)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as a table for a page")
    form.add_argument("--json", action="store_true", help="as a list of objects")
    chosen = parser.parse_args()

    def job() -> None:
        from mmdx.methods import TOKENS, WIDTHS, aligned, markdown, plain, strategies, table

        rows, faults = table(config_folder())
        if chosen.json:
            print(json.dumps(plain(rows), indent=2))
        elif chosen.markdown:
            print(markdown(rows), end="")
        else:
            print(aligned(rows), end="")
            size = f"{len(WIDTHS)} modalities of widths {[*WIDTHS.values()]}, {TOKENS} tokens each, one logit"
            print(f"\nparameters and MFLOPs of one sample: {size}\n")
            for group, name, words in strategies(config_folder()):
                print(f"{f'{group}={name}':28}{words}")
        if faults:
            raise InputError(f"{len(faults)} of {len(rows) + len(faults)} fusions cannot be described: {'; '.join(faults)}")

    telling(job)


if __name__ == "__main__":
    main()
