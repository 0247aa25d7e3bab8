"""The forward pass as it ran: recorder, graphs, traces, frames, ways out into Python."""
