"""How often verdicts are wrong: simulated studies, and short studies drawn from a long one."""
