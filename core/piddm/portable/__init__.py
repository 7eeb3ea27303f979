"""A student for others: as ONNX, and as one page that runs by itself in a browser."""
