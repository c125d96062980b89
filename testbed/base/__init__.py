"""What every stage uses: files written whole, JSON lines, words, the places of things."""
