"""What is known of samples besides the label: further colours for maps."""

from collections.abc import Sequence

import pandas as pd
from anndata import AnnData

from bcnmf.errors import InputError


def distinct(name: str, kind: str) -> str:
    """Return the name of a column or gene in a table whose first column is called sample."""
    return f"{name} ({kind})" if name == "sample" else name


def annotations(target: AnnData, columns: Sequence[str], where: str) -> pd.DataFrame:
    """Return columns of the target's `obs`, by sample.

    Parameters
    ----------
    target : AnnData
        The samples.
    columns : sequence of str
        Which columns; there may be none.
    where : str
        Sheet and study, for the message.

    Returns
    -------
    DataFrame
        sample, and the columns as text; missing values stay missing. A column that is itself called
        sample is there as "sample (column)".

    Raises
    ------
    InputError
        A column that the data do not have.
    """
    missing = [name for name in columns if name not in target.obs]
    if missing:
        raise InputError(
            f"{where}, column colours: the data have no column {missing[0]!r} in obs; found: "
            f"{', '.join(map(str, target.obs.columns)) or 'none'}"
        )
    table = pd.DataFrame({"sample": target.obs_names.to_numpy(dtype=str)})
    for name in columns:
        values = target.obs[name]
        table[distinct(name, "column")] = (
            values.astype(str).where(values.notna(), None).to_numpy(dtype=object)
        )
    return table
