"""Tokenizers side by side: trained on the same text in the same way, measured on text that none of them has seen.

Nothing here says which tokenizer makes the better model: only models that were trained on them do (`paribus study
tokenizer`).
"""

from paribus.text.tokenizers.comparing.comparison import Request, compare
from paribus.text.tokenizers.comparing.contenders import Contender, contenders

__all__ = ["Contender", "Request", "compare", "contenders"]
