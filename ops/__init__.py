"""An operator's commands beside `pulumi up`: adopt a pair made by hand, recover after a killed run, check, drill."""
