"""Whole torch modules, traced by torch.fx, as graphs of ours: each tensor's axes are followed beside its symbol."""
