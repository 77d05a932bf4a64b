"""What the analytics pages show: the figures' columns in decimals, and charts as SVG."""
