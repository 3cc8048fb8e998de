"""Networks put to work: the training loop and the tasks. Nothing is imported here."""
