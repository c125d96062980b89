"""What both versions of IKE share: keys, ESP SAs, and the limit of half-open SAs."""
