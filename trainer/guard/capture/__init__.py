"""The forward pass as it ran: recorder, graphs, traces, frames, tensors that leave for Python."""
