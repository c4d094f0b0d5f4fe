"""`python -m simulator`."""

from simulator.main import main

main()
