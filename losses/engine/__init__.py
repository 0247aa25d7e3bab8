"""What the losses are made of: the contract every call goes through, sums that do not drift, and fused operations."""
