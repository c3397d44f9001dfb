"""Sessions of interactive runs: tables, facts, transcripts."""
