"""The paper's experiments on the research data sets: their benchmarks' measures, beside what others published."""
