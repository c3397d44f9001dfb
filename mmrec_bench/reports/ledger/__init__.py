"""The reproduction ledger: what was printed, what others' code reaches on the same files, and what is reached here."""
