"""How repeated a text is: exact and near copies, runs of tokens seen before, and what all that is worth in training.

results = audit("my.jsonl", Settings(passes=4))
results["worth"]["said"]   # "4.2 passes over 31 M unique tokens are worth 121 M fresh ones"
Path("audit.html").write_text(page(results), encoding="utf-8")

Reading is `reading.py`, which fills a `store.py`; `shingles.py`, `minhash.py` and `clusters.py` find documents, `runs.py`,
`repeats.py`, `coverage.py` and `spans.py` find runs of tokens; `engine.py` puts it together, and `page.py` shows it.
"""

from paribus.text.data.audit.engine import Settings, audit
from paribus.text.data.audit.page import page

__all__ = ["Settings", "audit", "page"]
