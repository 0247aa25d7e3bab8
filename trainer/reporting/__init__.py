"""Reports of a run: terminal, metrics.jsonl, TensorBoard, pictures."""
