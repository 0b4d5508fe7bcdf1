"""The package stays cheap to import, and says what it needs where it needs more."""

import os
import subprocess
import sys

from conftest import ROOT

HEAVY = ("torch", "pandas", "scanpy", "matplotlib", "anndata", "sklearn")


def run(code):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )


def test_the_package_and_its_command_line_load_nothing_heavy():
    done = run(
        "import sys, bcnmf, bcnmf.errors, bcnmf.cli\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert done.stdout == "[]\n", done.stderr


def test_the_estimators_need_no_anndata_scanpy_or_matplotlib():
    done = run(
        "import sys\nsys.modules |= dict.fromkeys(['pandas', 'anndata', 'scanpy', 'matplotlib'])\n"
        "from bcnmf import BCNMF, NMF, CombinedBasisNMF, ConvergenceWarning, SharedTargetNMF\n"
        "from bcnmf import CrossFit, coverage, crossfit, scoring\n"
        "print(BCNMF().alpha)"
    )
    assert done.stdout == "1.5\n", done.stderr


def test_selection_needs_pandas_only_for_its_tables():
    done = run(
        "import sys\nsys.modules |= dict.fromkeys(['pandas', 'anndata'])\n"
        "import numpy as np\nfrom bcnmf import selection\n"
        "one = np.eye(3)\nprint(selection.matched_cosine(one, one))\n"
        "try:\n    selection.select(one, one, n_components=[2], alphas=[1.0])\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    first, second = done.stdout.splitlines()
    assert first == "1.0", done.stderr
    assert second == (
        "MissingExtra this needs pandas, which is not installed; "
        "pip install 'bcnmf[anndata]' brings it"
    )
