"""The paper's claims as tests on records, and as a test of the paper's own numbers."""
