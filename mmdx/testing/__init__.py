"""The conformance kit: does a part, ours or a user's, keep its contract?  Each check raises AssertionError saying what is broken.

In the way of scikit-learn's ``check_estimator``::

    def test_my_fusion():
        check_fusion(lambda widths, head: MyFusion(widths, head))
"""

from mmdx.testing.dataset import check_dataset
from mmdx.testing.encoder import check_encoder
from mmdx.testing.fusion import check_fusion, random_features
from mmdx.testing.task import check_task

__all__ = ["check_dataset", "check_encoder", "check_fusion", "check_task", "random_features"]
