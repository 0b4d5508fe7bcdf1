"""What maps show of the target's samples besides the label: columns, and leading features."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.annotations import annotations
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table, write_table
from bcnmf_pipeline.report.explorer import top_values
from bcnmf_pipeline.report.topic_words import topics_of

_FEATURES = 24

with logged(snakemake):
    params = snakemake.params
    target = read_h5ad(snakemake.input.target)
    table = annotations(target, params.columns, params.where)
    write_table(table, snakemake.output.annotations)
    _, topics = topics_of(
        read_table(snakemake.input.topics),
        read_table(snakemake.input.loadings),
        method=params.method,
    )
    # The first of every topic, then the second, ...: each once.
    in_turn = [
        topic.leading[place]
        for place in range(max(len(topic.leading) for topic in topics))
        for topic in topics
        if place < len(topic.leading)
    ]
    wanted = list(dict.fromkeys(in_turn))[:_FEATURES]
    values = top_values(target.var_names, target.X, wanted, target.obs_names)
    write_table(values, snakemake.output.top_values)
