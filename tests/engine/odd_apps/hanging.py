"""An app whose import never ends."""

import time
from pathlib import Path

Path("importing").touch()
time.sleep(600)
