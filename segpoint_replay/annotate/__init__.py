"""``segpoint annotate``: label a bag's clouds in the browser, with the model's and geometry's proposals."""
