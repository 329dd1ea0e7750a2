"""From an image to labels: views, network, merged scores, labels."""
