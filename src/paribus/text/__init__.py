"""The text wing: text -> tokens -> batches, with numpy alone.

Nothing in here imports torch, so that preparing text, inspecting it and starting a worker stay cheap. What a
model does with a batch belongs in `paribus.train`.
"""
