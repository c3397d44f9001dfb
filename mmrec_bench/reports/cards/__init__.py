"""Result cards: all that a reader must know of one row of a table, with a digest that a paper can cite."""
