"""What `everygrad.adapters.torch_watch` consists of: hooks that take, and closed forms that give."""
