"""The figures that explain parts, drawn from the parts themselves: `paribus plot`, `explain --plot`, docs/parts."""
