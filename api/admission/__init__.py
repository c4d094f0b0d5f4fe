"""Who may send how much: requests a minute, and how much may wait."""
