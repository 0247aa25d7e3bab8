"""From the loss to a variable: which ops pass a gradient on."""
