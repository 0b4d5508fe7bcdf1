"""The library of the workflow's rules: one folder a stage, in the order in which data flow.

plan -> acquire -> datasets -> pair -> methods -> fit -> evaluate -> enrich -> figures -> report
"""
