import sys
from pathlib import Path

# ``toy`` is imported by tests and run as a script by them.
sys.path.insert(0, str(Path(__file__).parent))
