"""How long a test waits for what has to happen: far longer than it takes, so that a machine with
much else to do fails no test. Only what never happens does."""

PATIENCE_S = 60.0
PATIENCE_MS = 60_000
