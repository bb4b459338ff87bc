"""The ledger: money, the journal that is the truth, and the tables that are made from it."""
