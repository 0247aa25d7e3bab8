"""What a run says: terminal, metrics.jsonl, TensorBoard, pictures."""
