"""Tables and figures made from finished runs."""
