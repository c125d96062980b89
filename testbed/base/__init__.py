"""What every stage uses: files written whole, JSON lines, words, the project's own folders."""
