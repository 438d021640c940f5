"""What goes over the wire, whichever way it came: tensors, pictures, texts, and the answers to them."""
