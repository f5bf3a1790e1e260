"""The parts that make a step safe to stop and repeat: command line, ledger, progress, atomic files, stamps, workers."""
