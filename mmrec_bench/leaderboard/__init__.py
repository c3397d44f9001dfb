"""Submissions of ranked lists that anyone can check, and the board made of their verification records."""
