"""What makes a step resumable and honest: command line, ledger, progress, atomic files, stamps, worker pool."""
