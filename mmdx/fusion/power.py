"""Power normalisation, which pooled products need before a linear layer: a few large products would outweigh all others."""

from __future__ import annotations

from torch import Tensor


def power_normalise(products: Tensor, epsilon: float) -> Tensor:
    """Signed square root of each entry, then division by the root of their mean square, over the last axis (Perronnin et al. 2010, ECCV;
    Lin et al. 2015, arXiv:1504.07889).

    Two departures that the next layer's weights take up or that vanish with ``epsilon``: a mean square of 1 instead of a length of 1, and
    ``z / sqrt(|z| + epsilon)`` for ``sign(z) sqrt(|z|)``, whose slope at 0 is infinite. Zeros give zeros.
    """
    rooted = products * (products.abs() + epsilon).rsqrt()
    return rooted * (rooted.square().mean(dim=-1, keepdim=True) + epsilon).rsqrt()
