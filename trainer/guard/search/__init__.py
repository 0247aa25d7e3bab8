"""From the loss to a variable: which ops hand a gradient on."""
