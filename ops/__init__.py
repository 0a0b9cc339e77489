"""What an operator does besides `pulumi up`: adopt a pair made by hand, recover from a killed run."""
