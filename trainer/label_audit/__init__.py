"""Which labels are probably wrong: labels against predictions of networks that were not trained on them."""
