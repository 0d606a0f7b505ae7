"""Programs of robots that use answers, to be copied and changed."""
