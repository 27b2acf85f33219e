"""An app that takes the interpreter down, as a broken extension module does."""

import os

os.abort()
