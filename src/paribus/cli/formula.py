"""LaTeX of the cards as plain text for a terminal."""

from __future__ import annotations

import re

_SYMBOLS = {
    r"\sigma": "σ",
    r"\Phi": "Φ",
    r"\beta": "β",
    r"\alpha": "α",
    r"\epsilon": "ε",
    r"\odot": "⊙",
    r"\mapsto": "↦",
    r"\top": "ᵀ",
    r"\quad": "  ",
    r"\max": "max",
    r"\tanh": "tanh",
    r"\sin": "sin",
    r"\cos": "cos",
    r"\left": "",
    r"\right": "",
    r"\,": " ",
}


def readable(latex: str) -> str:
    """The formula in one line of plain text; unknown commands keep their name."""
    text = re.sub(r"\\(?:operatorname|mathrm|text)\{([^{}]*)\}", r"\1", latex)
    text = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", text)
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / (\2)", text)
    for command, symbol in sorted(_SYMBOLS.items(), key=lambda item: -len(item[0])):
        text = text.replace(command, symbol)
    text = re.sub(r"[_^]\{([^{}]*)\}", lambda match: match[0][0] + _grouped(match[1]), text)
    text = text.replace("{", "").replace("}", "").replace("\\", "")
    return re.sub(r"\s+", " ", text).replace("( ", "(").replace(" )", ")").strip()


def _grouped(inner: str) -> str:
    return inner if re.fullmatch(r"\w+", inner) else f"({inner})"
