"""The page docs/reproduction.md and the README's table, from records that lie next to them."""
