"""From a picture to labels: views, network, merged scores, labels."""
