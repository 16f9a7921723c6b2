"""How repeated a text is: exact and near copies, runs of tokens seen before, and what all that is worth in training.

results = audit("my.jsonl", Settings(passes=4))
results["worth"]["said"]   # "4.6 passes over 31 M unique tokens are worth 118 M fresh ones"
Path("audit.html").write_text(page(results))

Reading is `reading.py`, which fills a `store.py`; `shingles.py`, `minhash.py` and `clusters.py` find documents, `runs.py`,
`repeats.py`, `coverage.py` and `spans.py` find runs of tokens; `engine.py` puts it together, and `page.py` shows it.
"""
