"""The network: ViTPose and ViTPose++, as trained and folded."""
