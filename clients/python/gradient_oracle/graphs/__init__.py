"""What a caller means by a net: a function of `ops`, an operator, a model of ONNX, nodes."""
