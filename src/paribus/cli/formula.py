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
    r"\theta": "θ",
    r"\gamma": "γ",
    r"\lambda": "λ",
    r"\zeta": "ζ",
    r"\pi": "π",
    r"\sum": "Σ",
    r"\cdot": "·",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\lVert": "|",
    r"\rVert": "|",
    r"\lfloor": "⌊",
    r"\rfloor": "⌋",
    r"\lceil": "⌈",
    r"\rceil": "⌉",
    r"\min": "min",
    r"\ln": "ln",
    r"\le": "≤",
    r"\sim": "~",
    r"\textstyle": "",
    r"\;": " ",
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
    before = None
    while before != text:  # from the inside out: a fraction may hold a root, and a root a subscript
        before = text
        text = re.sub(r"[_^]\{([^{}]*)\}", lambda match: match[0][0] + _grouped(match[1]), text)
        text = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", text)
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / (\2)", text)
    for command, symbol in sorted(_SYMBOLS.items(), key=lambda item: -len(item[0])):
        text = text.replace(command, symbol)
    text = text.replace("{", "").replace("}", "").replace("\\", "")
    return re.sub(r"\s+", " ", text).replace("( ", "(").replace(" )", ")").strip()


def _grouped(inner: str) -> str:
    return inner if re.fullmatch(r"\w+", inner) else f"({inner})"
