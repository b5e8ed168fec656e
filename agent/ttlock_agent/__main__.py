"""``python -m ttlock_agent`` is the command ``ttlock-agent``."""

from ttlock_agent.cli import main

if __name__ == "__main__":
    main()
